#!/usr/bin/env bash
# Makes a small model, trains it on this project's text, tunes it with the questions, and asks it others.
#
#     Examples/ChatFromDocs/run.sh small OUT          seconds on a processor: shows that all parts work
#     Examples/ChatFromDocs/run.sh full OUT cuda      about two minutes on an H200
set -euo pipefail
size=$1 out=$2 device=${3:-cpu}
here=Examples/ChatFromDocs
case $size in
small)
    model=()
    text=(--seq 64 --steps 12 --eval-batches 4)
    chats=(--seq 64 --steps 12 --lr 2e-3 --eval-batches 4)
    ask=(--most 4)
    ;;
full)
    model=(--layers 8 --hidden 512 --vocabulary 4096)
    text=(--seq 512 --batch 64 --steps 900 --lr 1e-3 --dtype bf16 --graph)
    chats=(--seq 256 --batch 16 --steps 200 --lr 3e-4 --dtype bf16 --keep-best --eval-every 20)
    ask=(--at-a-time 12)
    ;;
*) sed -n 2,5p "$0" && exit 2 ;;
esac
python3 $here/make_model.py "$out/new" "${model[@]}"
liger train --model "$out/new" --data Documentation --mix Sources --weights 1,1 --device "$device" "${text[@]}" \
    --name text --out "$out/text"
liger train --objective sft --model "$out/text/final" --data $here/questions.jsonl --eval-data $here/held_out.jsonl \
    --device "$device" "${chats[@]}" --name chats --out "$out/chats"
liger plot "$out/text" "$out/chats" --out "$out/losses.svg"
for questions in questions held_out; do
    python3 $here/ask.py "$out/chats/final" $here/$questions.jsonl --out "$out/$questions-answers.jsonl" \
        --device "$device" "${ask[@]}"
done
