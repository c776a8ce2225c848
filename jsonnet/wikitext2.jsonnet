// Word-level language modelling (WikiText-2) with AWD-LSTM, Merity, Keskar and Socher 2018.
// From the project's root: allennlp train jsonnet/wikitext2.jsonnet -s OUT
local language_model = import 'lib/language_model.libsonnet';

function(preset=(import 'lib/demo.libsonnet'), data='tasks/wikitext2/demo', compression=null, seed=13)
  language_model(preset.wikitext2, data, compression, seed)
