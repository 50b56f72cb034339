"""One file per paper: network, loss, recipe, and the paper's own tables.

A paper that trains on more than it tests on, or combines samples, has these functions beside:

training_stages(params)     stages whose columns the training alone reads
training_columns(params)    those columns, null where a stage had nothing; `view` gets them
donors(params, data)        what draws, for rows and a seed, the row that each is combined with
combine(params, batch, given, places)    the batch with the donors' samples combined into it

One that trains in phases has

begin_epoch(params, network, optimizer, epoch, batches_done)    which parameters learn from here on

One whose samples are clips of tracklets (`reid.data.clips`) has

clips(params)                   which frames: batches are then (B, T, ...), numbers of tracklets
TOGETHER                        optional: so many samples side by side go to one device
feature_parts(params)           optional: a feature is so many equal parts; their distances add up

One that can show what it weighs up has

attention_maps(network, batch)  weights by view and layer, (B, h, w) or (B, P, h, w); {} without

and one that does not read all of its COLUMNS at all parameters

columns(params), stages(params)   what it reads, and the stages that these columns come from
"""

PAPERS = (
    "attention_driven",
    "implicit_attention",
    "strong_baseline",
    "multimodal_attention",
    "mutual_attention",
    "attentive_convlstm",
)
