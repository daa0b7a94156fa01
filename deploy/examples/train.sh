#!/usr/bin/env bash
# train.sh — how a training script uses a manifest, on one page.
#
# Build, verify, bind the run, then before every epoch ask whether the manifest
# still holds: someone may have withdrawn. Needs bin/ in the PATH, ASSENT_URL,
# ASSENT_KEY (scopes manifest:read and manifest:write, purpose model_training) and
# ASSENT_LOG_KEY, the log's verifier key, from a source that is not the gateway.
#
#   ./train.sh COLLECTION DIR EPOCHS COMMAND…
#
# COMMAND is run once an epoch as COMMAND… DIR/data EPOCH; it leaves its model in
# DIR.model, which must not be in DIR: what is not in the statement is refused.
set -euo pipefail
collection=$1 dir=$2 epochs=$3
shift 3

# The rows that the ledger permits now, as DIR/data/train-*.parquet and test-*.
built=$(assent manifest build --collections "$collection" --formats parquet,jsonl \
	--splits train=0.9,test=0.1 --text --expires-in 720h --out "$dir")
id=${built%%:*}
echo "$built"

# Offline: signed by the log's key, entered in the log, every file whole.
assent-verify manifest --key "$ASSENT_LOG_KEY" "$dir"

# From here on "which runs saw this person?" has an answer.
run="$(hostname)-$(date -u +%Y%m%dT%H%M%SZ)"
assent manifest bind "$id" --run "$run" --pipeline train.sh

for ((epoch = 1; epoch <= epochs; epoch++)); do
	# Any other answer than "valid" ends the run. To go on without the people
	# who left: build again, and look at what changed with
	#   assent manifest diff OLD NEW
	if ! assent manifest check "$id" --drop "$dir.drop"; then
		echo "epoch $epoch was not begun: $(wc -l <"$dir.drop") rows to drop are in $dir.drop" >&2
		exit 1
	fi
	"$@" "$dir/data" "$epoch"
done

# The model that came of it, by its digest: of the same run, and also when
# somebody has left meanwhile.
if [ -e "$dir.model" ]; then
	digest=$(sha256sum "$dir.model" | cut -d ' ' -f 1)
	assent manifest bind "$id" --run "$run" --model-digest "sha256:$digest"
fi
