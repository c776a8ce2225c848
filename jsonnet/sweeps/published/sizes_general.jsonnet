// The encoders of published/sizes, calibrated on the text that comes with elmo-mf instead of text like the one that is scored.
// elmo-mf sweep published/sizes_general --data data --threads 1 --output leaderboard
function(gradients='gradients.hdf5')
  (import 'sizes.jsonnet')(gradients, calibration=null, tasks=['wikitext2-bilm']) + {
    compressions: std.filter(function(one) one.method == 'kfac_svd', super.compressions),
    precisions: [],
  }
