// As jsonnet/squad.jsonnet, with the hyper-parameters that AllenNLP published.
local paper = import '../lib/paper.libsonnet';
local squad = import '../squad.jsonnet';

function(glove_file='data/glove.txt.gz', data='data/squad', cache_mb=0)
  squad(preset=paper(glove_file), data=data, cache_mb=cache_mb)
