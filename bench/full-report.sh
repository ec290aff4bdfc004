#!/usr/bin/env bash
# The run behind README's figures, on an Apache Kafka of its own (npm run kafka -- fetch): about half an hour on two quiet cores. Writes
# bench/results/kafka.json and .cache/bench-report.html; npm run bench:readme takes over from there.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${KAFKA_BOOTSTRAP_SERVERS:-}" ]; then exec node dist/native-test/services/cli.js --no-registry exec bash bench/full-report.sh; fi
records=${RECORDS:-1000000}
repeats=${REPEATS:-5}
mkdir -p .cache bench/results
peers=node-rdkafka,kafkajs,@platformatic/kafka,confluent-kafka-python,rdkafka_performance
part() { # number, options
  local number=$1
  shift
  node dist/bench/main.js --repeats "$repeats" --json ".cache/bench-$number.json" "$@"
}
part 1 --modes async,batch,produce --records "$records" --peers "$peers"
part 2 --modes sync,decode,projection,pipeline --records $((records * 2 / 5)) --peers node-rdkafka,kafkajs,avsc,confluent-kafka-python,rdkafka-toolkit-pool-2
part 3 --modes decode,projection --fields 20 --records $((records * 2 / 5)) --peers node-rdkafka,kafkajs,avsc
# Long enough for what `auto` spends on its trials to be a small part.
part 4 --modes pool --records $((records * 8))
part 5 --modes pool-heavy --records $((records * 3))
part 6 --modes pool,pool-heavy --prefetched --records $((records * 3))
# What decoding and projecting cost where no broker shares their cores.
part 7 --modes decode,projection --prefetched --records $((records * 2)) --peers none
part 8 --modes decode,projection --prefetched --fields 20 --records $((records * 2)) --peers none
part 9 --modes latency,batch-timeout --repeats 1 --peers node-rdkafka
node --input-type=module -e '
import { readFileSync, writeFileSync } from "node:fs";
import { htmlReport } from "./dist/bench/html.js";
const rows = [1, 2, 3, 4, 5, 6, 7, 8, 9].flatMap((part) => JSON.parse(readFileSync(`.cache/bench-${part}.json`, "utf8")));
writeFileSync("bench/results/kafka.json", `${JSON.stringify(rows, null, 1)}\n`);
writeFileSync(".cache/bench-report.html", await htmlReport(rows));
'
