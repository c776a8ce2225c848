// SST with a biattentive classification network, GloVe and AllenNLP's own ELMo: a model as its owner has it.
// See docs/acceleration/train.py.
local demo = import '../lib/demo.libsonnet';
local elmo = import '../lib/elmo.libsonnet';
local stock = import '../lib/stock.libsonnet';
local sst = import '../sst.jsonnet';

function(
  data='tasks/sst/demo',
  glove_file=null,
  options_file='weights/base/options.json',
  weight_file='weights/base/weights.hdf5',
  elmo_dim=elmo.dim(import '../../weights/base/options.json'),
)
  local glove = if glove_file == null then null else { file: glove_file, dim: 100, lowercase: true };
  local preset = demo { sst+: { glove: glove } };
  stock(sst(preset=preset, data=data, elmo_dim=elmo_dim), options_file, weight_file)
