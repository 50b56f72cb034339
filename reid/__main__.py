from reid.cli import main

main()
