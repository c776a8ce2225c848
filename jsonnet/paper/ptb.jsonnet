// As jsonnet/ptb.jsonnet, with the published sizes and hyper-parameters.
local ptb = import '../ptb.jsonnet';
local paper = import '../lib/paper.libsonnet';

function(data='data/ptb', compression=null)
  ptb(preset=paper(null), data=data, compression=compression)
