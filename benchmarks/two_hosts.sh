#!/usr/bin/env bash
# Two hosts on this machine: two network namespaces connected by a veth pair, each with its own folder that is not visible on the
# other. Trains the demo's model for a few steps in one process and on both hosts, and prints the losses side by side. Then it
# tries a model that exists on one host only, different rows, missing rows, a killed process, and a network that fails.
#   sudo benchmarks/two_hosts.sh [PYTHON]        needs iproute2 and the demo's packages; takes about two minutes
set -euo pipefail
python=$(command -v "${1:-python}")
toolkit=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
export PYTHONPATH=$toolkit OMP_NUM_THREADS=1 ACCELERATE_USE_CPU=true HF_HUB_OFFLINE=1 GLOO_SOCKET_IFNAME=ftk
hosts=(alpha beta)

clean() {
  for host in "${hosts[@]}"; do ip netns delete "ftk-$host" 2>/dev/null || true; done
  rm -rf "$work"
}
trap clean EXIT
clean 2>/dev/null
mkdir -p "$work"
for host in "${hosts[@]}"; do ip netns add "ftk-$host" && mkdir "$work/$host"; done
ip link add ftk netns ftk-alpha type veth peer name ftk netns ftk-beta
for i in 0 1; do
  ip -n "ftk-${hosts[i]}" address add "10.77.0.$((i + 1))/24" dev ftk
  ip -n "ftk-${hosts[i]}" link set ftk up
  ip -n "ftk-${hosts[i]}" link set lo up
  cp "$toolkit/data_cards/support_inbox/"*.jsonl "$work/${hosts[i]}/"
done

# on_host NUMBER WORDS...: `ftk WORDS` as one of two nodes, in the host's folder and under its name
on_host() {
  local i=$1; shift
  (cd "$work/${hosts[i]}" && exec ip netns exec "ftk-${hosts[i]}" unshare --uts sh -c 'hostname "$0"; exec "$@"' "${hosts[i]}" \
    "$python" -m torch.distributed.run --nnodes 2 --node_rank "$i" --nproc_per_node 1 \
    --master_addr 10.77.0.1 --master_port 29511 -m ft_toolkit "$@") > "$work/${hosts[i]}.log" 2>&1
}

# both WORDS...: on both hosts, prints their output (without the launcher's own lines) and their exit codes
both() {
  local codes=(0 0)
  on_host 0 "$@" & local first=$!
  on_host 1 "$@" & local second=$!
  wait $first || codes[0]=$?
  wait $second || codes[1]=$?
  echo "exit codes of the two launchers: ${codes[*]}"
}
errors() { for host in "${hosts[@]}"; do grep -h -A1 '^error' "$work/$host.log" | grep -v '^[EW][0-9]\|^Traceback\|^--' | sed "s/^/  $host says: /" || true; done; }

settings=(run demo training.max_steps=12 training.mixed_precision=no training.logging_steps=1 training.examples_per_batch=8 model.dropout=0.0
  evaluation.bootstrap_samples=100 evaluation.baselines='[majority]')

echo "== one process, 2 micro-batches of 8"
(cd "$work" && "$python" -m ft_toolkit "${settings[@]}" training.gradient_accumulation_steps=2 --output one | grep '^steps\|fresh process')
echo "== two hosts, one process each, 8 examples"
both "${settings[@]}" --output two
grep -h '^steps\|fresh process' "$work/alpha.log"
echo "files of the run on alpha: $(find "$work/alpha/two" -type f | wc -l), on beta: $(find "$work/beta" -type f -path '*two*' | wc -l)"
"$python" - "$work/one" "$work/alpha/two" <<'PYTHON'
import json, sys
one, two = ([r for r in map(json.loads, open(f"{folder}/metrics.jsonl")) if "loss" in r] for folder in sys.argv[1:])
print("step  loss, one process  loss, two hosts  difference")
for a, b in zip(one, two, strict=True):
    print(f"{a['step']:>4}  {a['loss']:.9f}        {b['loss']:.9f}      {abs(a['loss'] - b['loss']):.1e}")
worst = max(abs(a["loss"] - b["loss"]) / a["loss"] for a, b in zip(one, two))
assert worst < 1e-4, worst
PYTHON

echo "== a smoke run: the tiny model is created on alpha, and beta receives a copy"
both run sst2_lora --smoke --output smoke
grep -h 'fresh process' "$work/alpha.log"

echo "== different rows on beta"
rows=train.jsonl
own=(data.card=null "data.train=$rows" data.validation_fraction=0.2 data.columns.label=category)
sed -i 1d "$work/beta/$rows"
both "${settings[@]}" "${own[@]}" --output other || true
errors
echo "== no rows on beta"
rm "$work/beta/$rows"
both "${settings[@]}" "${own[@]}" --output none || true
errors

echo "== the process on beta is killed during training"
on_host 0 "${settings[@]}" training.max_steps=500 --output killed & first=$!
on_host 1 "${settings[@]}" training.max_steps=500 --output killed & second=$!
until [ "$(cat "$work/alpha/killed/metrics.jsonl" 2>/dev/null | wc -l)" -ge 3 ]; do sleep 0.2; done
start=$SECONDS
for pid in $(ip netns pids ftk-beta); do tr '\0' '\n' < "/proc/$pid/environ" | grep -q '^RANK=1$' && victim=$pid; done
kill -9 "$victim"
wait $first && code=0 || code=$?
echo "the launcher on alpha ended with $code, $((SECONDS - start)) s later"
wait $second || true
errors

echo "== the network of beta fails during training: nothing closes the connections"
limit=10
on_host 0 "${settings[@]}" training.max_steps=2000 training.lost_process_seconds=$limit --output lost & first=$!
on_host 1 "${settings[@]}" training.max_steps=2000 training.lost_process_seconds=$limit --output lost & second=$!
until [ "$(cat "$work/alpha/lost/metrics.jsonl" 2>/dev/null | wc -l)" -ge 3 ]; do sleep 0.2; done
start=$SECONDS
ip -n ftk-beta link set ftk down
for host in "${hosts[@]}"; do
  until grep -q '^error' "$work/$host.log"; do sleep 0.2; done
  echo "the process on $host ended $((SECONDS - start)) s later"
done
errors
kill "$first" "$second" 2>/dev/null || true  # torchrun waits up to 300 s for the other launcher
