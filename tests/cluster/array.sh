#!/bin/bash
#SBATCH --array=0-3
models=(gpt2 gpt2-medium gpt2-large gpt2-xl)
model=${models[$SLURM_ARRAY_TASK_ID]}
name=${model##*/}
clone=$(mktemp -d) && trap 'rm -rf "$clone"' EXIT             # in $TMPDIR: tasks share it, and a task may run twice
git clone --quiet git@server:me/rsa.git "$clone" && cd "$clone" || exit
git config user.name me && git config user.email me@server    # unless Git knows: experiments are commits
dvc remote add --local -d shared ssh://me@server/data/rsa
dvc exp run --name "$name" -S "model.name=$model" && dvc exp push --force origin "$name"
