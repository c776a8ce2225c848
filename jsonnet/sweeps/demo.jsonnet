// `make leaderboard`: the embedded ELMo on the demo data, in minutes on two cores.
{
  targets: ['all'],
  ranks: [1, 8, 32],
  latency_sentences: 8,
  latency_rounds: 3,
}
