#!/usr/bin/env bash
# The run behind README's figures, on an Apache Kafka of its own (npm run kafka -- fetch): about twelve minutes on two quiet cores. Writes
# bench/results/kafka.json and .cache/bench-report.html; npm run bench:readme takes over from there.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${KAFKA_BOOTSTRAP_SERVERS:-}" ]; then exec node dist/native-test/services/cli.js --no-registry exec bash bench/full-report.sh; fi
records=${RECORDS:-1000000}
repeats=${REPEATS:-5}
mkdir -p .cache bench/results
peers=node-rdkafka,kafkajs,@platformatic/kafka,confluent-kafka-python,rdkafka_performance
node dist/bench/main.js --modes async,batch,produce --records "$records" --repeats "$repeats" --peers "$peers" --json .cache/bench-1.json
node dist/bench/main.js --modes sync,decode,pool,pool-heavy,pipeline --records $((records * 2 / 5)) --repeats "$repeats" \
  --peers node-rdkafka,kafkajs,avsc,confluent-kafka-python,rdkafka-toolkit-pool-2 --json .cache/bench-2.json
node dist/bench/main.js --modes latency,batch-timeout --repeats 1 --peers node-rdkafka --json .cache/bench-3.json
node --input-type=module -e '
import { readFileSync, writeFileSync } from "node:fs";
import { htmlReport } from "./dist/bench/html.js";
const rows = [1, 2, 3].flatMap((part) => JSON.parse(readFileSync(`.cache/bench-${part}.json`, "utf8")));
writeFileSync("bench/results/kafka.json", `${JSON.stringify(rows, null, 1)}\n`);
writeFileSync(".cache/bench-report.html", await htmlReport(rows));
'
