// A bidirectional LSTM: AllenNLP's, or what the preset of a task has in its place.
function(preset) function(input, hidden, layers=1, dropout=0)
  (if std.objectHas(preset, 'lstm') then preset.lstm else { type: 'lstm' }) + {
    bidirectional: true,
    input_size: input,
    hidden_size: hidden,
    num_layers: layers,
    [if dropout > 0 then 'dropout']: dropout,
  }
