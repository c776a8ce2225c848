// What the sweeps behind the board in leaderboard/ have in common: the embedded ELMo on real data, cut so that all of it
// takes some hours on two cores (run as two processes of one thread, each with some of the tasks and seeds, into the same
// folder).
{
  tasks: ['sst', 'snli', 'squad'],
  limit: {
    sst: { train: 5000 },
    snli: { train: 4000, validation: 800, test: 2000 },
    squad: { train: 2000, validation: 600 },
  },
  overrides: {
    sst: { 'trainer.num_epochs': 5 },
    snli: { 'trainer.num_epochs': 5 },
    squad: { 'trainer.num_epochs': 5 },
  },
  latency_sentences: 8,
  latency_rounds: 2,
}
