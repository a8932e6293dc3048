#!/bin/bash
#SBATCH --array=0-3%8
models=(gpt2 gpt2-xl)
lists=(params.yaml data/words.csv)
model=${models[SLURM_ARRAY_TASK_ID % ${#models[@]}]}
words=${lists[SLURM_ARRAY_TASK_ID / ${#models[@]}]}
name=${model##*/}-${words##*/} name=${name%.*}                # gpt2-params, gpt2-xl-words, ...
clone=$(mktemp -d) && trap 'rm -rf "$clone"' EXIT             # in $TMPDIR: tasks share it, and a task may run twice
git clone --quiet ssh://git@server/srv/rsa.git "$clone" && cd "$clone" || exit
git config user.name me && git config user.email me@server    # unless Git knows: experiments are commits
dvc remote add --local -d shared ssh://me@server/data/rsa
dvc exp run --name "$name" -S "model.name=$model" -S "words_file=$words" && dvc exp push --force origin "$name"
