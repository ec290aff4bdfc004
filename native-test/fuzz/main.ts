import { parseArgs } from 'node:util';
import { fuzzAvro } from './avro-fuzz.ts';

/** The long form: `npm run fuzz -- --inputs 10000000 --seed 1`. */
const { values } = parseArgs({ options: { inputs: { type: 'string', default: '10000000' }, seed: { type: 'string', default: '1' } } });
const { inputs, decoded, refused, slowestMs, heapGrowthBytes } = fuzzAvro(Number(values.inputs), Number(values.seed));
console.log(
  `avro fuzz, seed ${values.seed}: ${inputs} inputs, ${decoded} decoded, ${refused} refused with a DecodeError, 0 crashes; ` +
    `slowest ${slowestMs.toFixed(1)} ms, heap grew by ${(heapGrowthBytes / 1_048_576).toFixed(1)} MB at most between looks`,
);
