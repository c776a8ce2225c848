// As jsonnet/sst.jsonnet, with the hyper-parameters that AllenNLP published.
local paper = import '../lib/paper.libsonnet';
local sst = import '../sst.jsonnet';

function(glove_file='data/glove.txt.gz', data='data/sst', cache_mb=0)
  sst(preset=paper(glove_file), data=data, cache_mb=cache_mb)
