// SNLI with an enhanced sequential inference model, GloVe and AllenNLP's own ELMo: a model as its owner has it.
// See docs/acceleration/train.py.
local demo = import '../lib/demo.libsonnet';
local elmo = import '../lib/elmo.libsonnet';
local stock = import '../lib/stock.libsonnet';
local snli = import '../snli.jsonnet';

function(
  data='tasks/snli/demo',
  glove_file=null,
  options_file='weights/base/options.json',
  weight_file='weights/base/weights.hdf5',
  elmo_dim=elmo.dim(import '../../weights/base/options.json'),
)
  local glove = if glove_file == null then null else { file: glove_file, dim: 100, lowercase: true };
  local preset = demo { snli+: { glove: glove } };
  stock(snli(preset=preset, data=data, elmo_dim=elmo_dim), options_file, weight_file)
