// Word-level language modelling (Penn Treebank, Mikolov's preprocessing) with AWD-LSTM, Merity, Keskar and Socher 2018.
// From the project's root: allennlp train jsonnet/ptb.jsonnet -s OUT
local language_model = import 'lib/language_model.libsonnet';

function(preset=(import 'lib/demo.libsonnet'), data='tasks/ptb/demo', compression=null, seed=13)
  language_model(preset.ptb, data, compression, seed)
