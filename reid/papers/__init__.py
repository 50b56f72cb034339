"""One file per paper: network, loss, recipe, and the paper's own tables.

A paper that trains on more than it tests on, or combines samples, has these functions beside:

training_stages(params)     stages whose columns the training alone reads
training_columns(params)    those columns, null where a stage had nothing; `view` gets them
donors(params, data)        what draws, for rows and a seed, the row that each is combined with
combine(params, batch, given, places)    the batch with the donors' samples combined into it

One that trains in phases has

begin_epoch(params, network, optimizer, epoch, batches_done)    which parameters learn from here on
"""

PAPERS = ("attention_driven", "implicit_attention", "strong_baseline", "multimodal_attention")
