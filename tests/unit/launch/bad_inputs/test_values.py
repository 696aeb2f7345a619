"""Fields with a value of the wrong type, out of range, or that is no choice."""

from support.bad_inputs import BadInput, CommandLine, bad_inputs, by_words

VALUES = bad_inputs("""
run.name= | run.name='' | set run.name
run.name=null | run.name=None | valid string
run.name=a/b | run.name='a/b' | set run.name
run.root= | run.root='' | at least 1 character
run.root=null | run.root=None | valid string
run.root=train.jsonl | train.jsonl/attempt cannot be made | set run.root
run.seed=1.5 | run.seed=1.5 | valid integer
run.seed=x | run.seed='x' | valid integer
run.rounds=0 | run.rounds=0 | greater than 0
run.rounds=1e3 | run.rounds=1000.0 | valid integer
run.rounds=null | run.rounds=None | valid integer
run.prompts_per_round=-1 | run.prompts_per_round=-1 | greater than 0
run.prompts_per_shard=0 | run.prompts_per_shard=0 | greater than 0
run.keep_policies=0 | run.keep_policies=0 | greater than 0
run.repeat_phases=maybe | run.repeat_phases='maybe' | valid boolean
recipe.title=3 | recipe.title=3 | valid string
model.path=3 | model.path=3 | valid string
model.path= | model.path= is no model directory | config.json
model.path=/ | model.path=/ is no model directory | config.json
model.path=train.jsonl | model.path=train.jsonl is no model directory | config.json
model.path=s3://bucket/model | model.path=s3://bucket/model is no model directory | config.json
model.dtype=int8 | model.dtype='int8' | 'float32', 'bfloat16' or 'float16'
model.max_model_len=0 | model.max_model_len=0 | greater than 0
model.max_model_len=2048 | model.max_model_len=2048 | 1024 positions | set model.max_model_len=1024 or less
model.package=3 | model.package=3 | valid string
model.trust_remote_code=3 | model.trust_remote_code=3 | valid boolean
generation.samples_per_prompt=many | generation.samples_per_prompt='many' | valid integer
generation.sampling=3 | generation.sampling=3 | an object
generation.sampling.temperature=-1 | generation.sampling.temperature=-1 | greater than or equal to 0
generation.sampling.temperature=3 | generation.sampling.temperature=3 | less than or equal to 2
generation.sampling.temperature=nan | generation.sampling.temperature=nan | finite
generation.sampling.top_p=0 | generation.sampling.top_p=0 | greater than 0
generation.sampling.top_p=2 | generation.sampling.top_p=2 | less than or equal to 1
generation.sampling.top_p=nan | generation.sampling.top_p=nan | set generation.sampling.top_p
generation.sampling.max_tokens=0 | generation.sampling.max_tokens=0 | greater than 0
generation.truncated=maybe | generation.truncated='maybe' | 'keep' or 'drop'
generation.condition=3 | generation.condition=3 | an object
generation.kind=nope | generation.kind=nope: no such kind | 'plain'
generation.kind=3 | generation.kind=3: no such kind | 'plain'
generation=ladder generation.levels=[] | generation.levels=[] | at least 2
generation=ladder generation.levels=3 | generation.levels=3 | valid array
generation=contrast generation.affixes=3 | generation.affixes=3 | valid array
generation=contrast generation.affixes=[[a]] | generation.affixes.0=['a'] | an object
generation=mixture generation.layers=0 | generation.layers=0 | greater than 0
judge.kind=nope | judge.kind=nope: no such kind | 'additive'
judge.scores=[] | judge.scores=[] | at least 2
judge.scores=3 | judge.scores=3 | valid array
judge.scores=[0,1] | judge.scores.0=0 | valid string
judge=additive judge.votes=0 | judge.votes=0 | greater than 0
judge=additive judge.votes=x | judge.votes='x' | valid integer
judge=function | judge.function has no value | set it
judge=function judge.function=nocolon | judge.function='nocolon' | set judge.function
judge=function judge.function=3 | judge.function=3 | valid string
judge=function judge.function=:x | judge.function=':x' | set judge.function
judge=endpoint | judge.base_url has no value | set it
judge=endpoint judge.base_url=ftp://x judge.model=m | judge.base_url='ftp://x' | set judge.base_url
pairing.kind=nope | pairing.kind=nope: no such kind | 'best_worst'
pairing=group pairing.min_responses=0 | pairing.min_responses=0 | greater than
objective.kind=nope | objective.kind=nope: no such kind | 'dpo'
objective.beta=-1 | objective.beta=-1 | greater than 0
objective.beta=nan | objective.beta=nan | set objective.beta
objective.beta=inf | objective.beta=inf | set objective.beta
objective.beta=abc | objective.beta='abc' | valid number
objective.beta=null | objective.beta=None | valid number
objective.reference=3 | objective.reference=3 | an object
objective.reference.policy=nope | objective.reference.policy='nope' | 'initial'
learner.start=never | learner.start='never' | 'previous'
learner.data=all | learner.data='all' | 'this_round'
learner.learning_rate=-1 | learner.learning_rate=-1 | greater than 0
learner.learning_rate=inf | learner.learning_rate=inf | finite
learner.schedule=step | learner.schedule='step' | 'constant', 'linear' or 'cosine'
learner.warmup_fraction=2 | learner.warmup_fraction=2 | less than or equal to 1
learner.warmup_fraction=nan | learner.warmup_fraction=nan | set learner.warmup_fraction
learner.final_lr_fraction=-0.1 | learner.final_lr_fraction=-0.1 | greater than or equal to 0
learner.epochs=-1 | learner.epochs=-1 | greater than 0
learner.pairs_per_step=0 | learner.pairs_per_step=0 | greater than 0
learner.tokens_per_device=0 | learner.tokens_per_device=0 | greater than 0
learner.pairs_per_device=0 | learner.pairs_per_device=0 | greater than 0
learner.max_grad_norm=0 | learner.max_grad_norm=0 | greater than 0
learner.weight_decay=-1 | learner.weight_decay=-1 | greater than or equal to 0
learner.adam_betas=[0.9] | learner.adam_betas.1 has no value | set it
learner.adam_betas=[0.9,1.0] | learner.adam_betas.1=1.0 | less than 1
learner.adam_betas=[nan,0.9] | learner.adam_betas.0=nan | set learner.adam_betas.0
learner.adam_betas=0.9 | learner.adam_betas=0.9 | valid array
learner.adam_eps=0 | learner.adam_eps=0 | greater than 0
learner.zero_stage=9 | learner.zero_stage=9 | 0, 1, 2 or 3
learner.gradient_checkpointing=7 | learner.gradient_checkpointing=7 | valid boolean
learner.optimizer=sgd | learner.optimizer='sgd' | 'fresh' or 'carried'
learner.checkpoint_every_steps=0 | learner.checkpoint_every_steps=0 | greater than 0
learner.selection=3 | learner.selection=3 | an object
learner.average_rounds=1 | learner.average_rounds=1 | greater than or equal to 2
learner.lora=3 | learner.lora=3 | an object
learner.deepspeed=abc | learner.deepspeed='abc' | no mapping
learner.deepspeed=3 | learner.deepspeed=3 | no mapping
learner.deepspeed=[1] | learner.deepspeed=[1] | no mapping
"learner.deepspeed='{bad'" | learner.deepspeed='{bad' | no JSON text
learner.deepspeed={zero_optimization:3} | learner.deepspeed.zero_optimization=3 is no mapping | keys of its own
learner.deepspeed={zero_optimisation:{}} | learner.deepspeed.zero_optimisation={} | did you mean zero_optimization?
learner.deepspeed={stage:3} | learner.deepspeed sets stage | set learner.zero_stage instead
learner.deepspeed={zero_optimization:{stage:3}} | learner.deepspeed sets stage | set learner.zero_stage instead
cluster.rollout.speculative=abc | cluster.rollout.speculative='abc' | no mapping
cluster.rollout.speculative=[1] | cluster.rollout.speculative=[1] | no mapping
cluster.rollout.speculative={method:ngram} | "method": "ngram" | set cluster.rollout.speculative=null
evaluation.num_prompts=0 | evaluation.num_prompts=0 | greater than 0
evaluation.judge=null | evaluation.judge=None | an object
evaluation.canaries=3 | evaluation.canaries=3 | an object
evaluation.canaries.prompts=-1 | evaluation.canaries.prompts=-1 | greater than or equal to 0
evaluation.canaries.action=shout | evaluation.canaries.action='shout' | 'warn' or 'stop'
evaluation.min_parse_rate=2 | evaluation.min_parse_rate=2 | less than or equal to 1
evaluation.min_parse_rate=nan | evaluation.min_parse_rate=nan | set evaluation.min_parse_rate
evaluation.samples_shown=-1 | evaluation.samples_shown=-1 | greater than or equal to 0
evaluation.drift_prompts=-1 | evaluation.drift_prompts=-1 | greater than or equal to 0
cluster.address= | cluster.address='' | at least 1 character
cluster.num_cpus=0 | cluster.num_cpus=0 | greater than 0
cluster.device=3 | cluster.device=3 | 'cpu' or 'gpu'
cluster.rollout=3 | cluster.rollout=3 | an object
cluster.rollout.actors=0 | cluster.rollout.actors=0 | greater than 0
cluster.rollout.cpus=0 | cluster.rollout.cpus=0 | greater than 0
cluster.rollout.cpus=inf | cluster.rollout.cpus=inf | finite
cluster.rollout.gpus=-1 | cluster.rollout.gpus=-1 | greater than or equal to 0
cluster.rollout.memory_fraction=2 | cluster.rollout.memory_fraction=2 | less than or equal to 1
cluster.rollout.kv_cache_gib=0 | cluster.rollout.kv_cache_gib=0 | greater than 0
cluster.rollout.max_num_seqs=0 | cluster.rollout.max_num_seqs=0 | greater than 0
cluster.rollout.tensor_parallel_size=2 | cluster.rollout.tensor_parallel_size=2 | cluster.device=cpu | rollout.actors
cluster.learner.ranks=0 | cluster.learner.ranks=0 | greater than 0
cluster.learner.threads=0 | cluster.learner.threads=0 | greater than 0
cluster.placement=NEAR | cluster.placement='NEAR' | 'PACK'
cluster.shards_in_flight=0 | cluster.shards_in_flight=0 | greater than 0
cluster.shard_attempts=0 | cluster.shard_attempts=0 | greater than 0
cluster.call_timeout_s=0 | cluster.call_timeout_s=0 | greater than 0
cluster.start_timeout_s=nan | cluster.start_timeout_s=nan | finite
cluster.dashboard=7 | cluster.dashboard=7 | valid boolean
cluster.scorer.actors=0 | cluster.scorer.actors=0 | greater than 0
tracking.wandb=3 | tracking.wandb=3 | valid boolean
tracking.project=3 | tracking.project=3 | valid string
tracking.pair_samples=-1 | tracking.pair_samples=-1 | greater than or equal to 0
prompts.train=3 | prompts.train=3 | an object
prompts.seed=3 | prompts.seed=3 | an object
new_prompts=self_instruct new_prompts.seed_shots=-1 | new_prompts.seed_shots=-1 | greater than 0
new_prompts=evolve new_prompts.per_round=999 | new_prompts.per_round=999 | 4 prompts | lower new_prompts.per_round
""")

# What engines on GPUs could not be given.
GPUS = bad_inputs("""
cluster.rollout.speculative={foo:1} | cluster.rollout.speculative={"foo": 1} names neither method nor model
cluster.rollout.speculative={method:3} | cluster.rollout.speculative.method=3 is no text
cluster.rollout.speculative={method:ngram} | num_speculative_tokens=None | such as 4
cluster.rollout.speculative={method:ngram,num_speculative_tokens:x} | num_speculative_tokens='x' | such as 4
cluster.rollout.speculative={model:m,num_speculative_tokens:0} | num_speculative_tokens=0 | such as 4
cluster.rollout.tensor_parallel_size=64 | tensor_parallel_size=64 | cluster.rollout.gpus=1 | set cluster.rollout.gpus
cluster.rollout.tensor_parallel_size=3 cluster.rollout.gpus=3 | tensor_parallel_size=3 | the 2 attention heads | divisor
cluster.rollout.gpus=0 | cluster.rollout.gpus=0 | cluster.device=cpu
""")


@by_words(VALUES)
def test_a_wrong_value_is_refused_by_its_field(case: BadInput, line: CommandLine) -> None:
    line.refuses_run(case)


@by_words(GPUS)
def test_what_an_engine_on_gpus_cannot_be_given_is_refused(case: BadInput, line: CommandLine) -> None:
    line.refuses_run(BadInput(words=("cluster=node_8gpu", *case.words), says=case.says))
