// As jsonnet/snli.jsonnet, with the hyper-parameters that AllenNLP published.
local paper = import '../lib/paper.libsonnet';
local snli = import '../snli.jsonnet';

function(glove_file='data/glove.txt.gz', data='data/snli', cache_mb=0)
  snli(preset=paper(glove_file), data=data, cache_mb=cache_mb)
