// As jsonnet/wikitext2.jsonnet, with the published sizes and hyper-parameters.
local wikitext2 = import '../wikitext2.jsonnet';
local paper = import '../lib/paper.libsonnet';

function(data='data/wikitext2', compression=null)
  wikitext2(preset=paper(null), data=data, compression=compression)
