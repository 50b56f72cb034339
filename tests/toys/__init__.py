"""What tests/contracts/test_adding.py adds to a copy of the project."""
