// The full grid on the official data with the original ELMo, for a machine with a GPU, or a cluster of them:
//   elmo-mf sweep paper --fetch --output runs/paper
// Models, sizes and word vectors are those that AllenNLP published with ELMo (preset `paper`).
{
  preset: 'paper',
  options: 'weights/original/options.json',
  weights: 'weights/original/weights.hdf5',
  data: 'data',
  glove: { sst: 'words/glove.840B.300d.txt', squad: 'words/glove.6B.100d.txt' },
  tasks: ['sst', 'snli', 'squad'],
  methods: ['svd', 'semi_nmf', 'prune', 'whitened_svd', 'fisher_svd', 'random'],
  targets: ['input', 'recurrent', 'input+recurrent'],
  ranks: [16, 32, 64, 128, 256, 384],
  seeds: [1, 2, 3, 4, 5],
  cache_mb: 100000,
}
