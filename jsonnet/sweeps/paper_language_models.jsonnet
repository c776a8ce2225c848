// Setting 1 of the paper: AWD-LSTM of the published sizes, trained whole and then compressed, for a machine with a GPU:
//   elmo-mf sweep paper_language_models --output runs/paper
// data/ptb and data/wikitext2 must be provided: the Penn Treebank is licensed by the LDC.
{
  preset: 'paper',
  data: 'data',
  tasks: ['ptb', 'wikitext2'],
  methods: ['svd', 'semi_nmf', 'prune', 'whitened_svd', 'fisher_svd', 'random'],
  targets: ['input', 'recurrent', 'input+recurrent'],
  ranks: [16, 32, 64, 128, 256],
  seeds: [1, 2, 3, 4, 5],
}
