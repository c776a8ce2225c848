// A bidirectional LSTM.
function(input, hidden, layers=1, dropout=0) {
  type: 'lstm',
  bidirectional: true,
  input_size: input,
  hidden_size: hidden,
  num_layers: layers,
  [if dropout > 0 then 'dropout']: dropout,
}
