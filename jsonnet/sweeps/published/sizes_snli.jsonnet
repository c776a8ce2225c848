// The encoders of published/sizes in a model of SNLI.
// elmo-mf sweep published/sizes_snli --data data --threads 1 --output leaderboard
function(gradients='gradients.hdf5', calibration='data/wikitext2/train.txt', glove='data/words/glove.6B.100d.txt.gz')
  (import 'sizes.jsonnet')(gradients, calibration, glove, ['snli']) + { seeds: [2] }
