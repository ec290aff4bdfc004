import { parseArgs } from 'node:util';
import { ConfigError } from 'rdkafka-toolkit';
import { FIELD_COUNTS, type FieldCount } from './avro/records.ts';
import type { BrokerChoice } from './broker.ts';
import { CLIENTS, type ClientName, cannotRun, canPrefetch, needsRealKafka, ownReference, PREFETCHABLE } from './clients.ts';
import type { Contestant } from './job.ts';
import { DEFAULT_MODES, MODES, type Mode } from './modes.ts';
import { preparePeer } from './peers.ts';
import { RECORD_BYTES_MIN } from './records.ts';
import { COMPRESSIONS, type Shape, shapesOf } from './shape.ts';

export const USAGE: string = `npm run bench -- [options]
npm run bench -- compare OLD.json NEW.json    what changed beyond noise (--help says more)
npm run bench -- tune                         which runtime variables to set on these brokers (--help says more)

  --modes LIST     of ${MODES.join(',')}
                   (default: ${DEFAULT_MODES.join(',')}), or all
  --peers LIST     of ${CLIENTS.slice(1).join(',')},
                   none, or all (default: node-rdkafka,rdkafka-toolkit-pool-2)
  --repeats R      (default 5)
  --json FILE      writes every run as a row
  --html FILE      writes a report with plots
  --verbose        prints the settings of every client

What is measured in every combination, a list each:
  --records LIST        records a run (default 400000; sync, pool-heavy and others take a fraction)
  --record-bytes LIST   key and value (default 150)
  --headers LIST        of every record (default 0)
  --compression LIST    of ${COMPRESSIONS.join(',')} (default none)
  --partitions LIST     of each topic (default 4 on a real Kafka, 32 on the embedded broker)
  --topics N            over which the records are spread (default 1)
  --rates LIST          records a second of the modes latency (default 10,1000) and batch-timeout (default 0,1,10,1000)
  --fields N            of the Avro records: 9 (145 bytes) or 20 (280 bytes) (default 9)
  --prefetched          starts the clock when all records are in the client's memory and the broker is idle; only the toolkit's own clients
                        can, in ${PREFETCHABLE.join(', ')}
  --seconds N           how long a load of latency lasts (default 10)

  --sweep VAR=A,B  measures the toolkit with its defaults beside the toolkit with each value; may be given again
  --kafka          starts Apache Kafka from its jars (npm run kafka -- fetch) where KAFKA_BOOTSTRAP_SERVERS is not set
  --smoke          few records, one repeat, all default modes: does it work?
  --gate LIST      MODE=RATIO: exits with 1 when the toolkit takes more than 1/RATIO of the CPU a record that node-rdkafka takes in the same
                   run, or moves less than RATIO/3 times its records a second
  --help

KAFKA_BOOTSTRAP_SERVERS decides where: the brokers there, on which topics are made and deleted; otherwise the embedded broker.
Runtime variables (CONSUMER_PREFETCH_COUNT …) apply to every client.
`;

/** The toolkit must be so many times as frugal with CPU as what it is compared with. */
export interface Gate {
  readonly mode: Mode;
  readonly ratio: number;
}

export interface BenchOptions {
  readonly broker: BrokerChoice;
  readonly modes: readonly Mode[];
  readonly contestants: readonly Contestant[];
  /** Peers that were asked for by `all` and are not there, with the reason. */
  readonly leftOut: readonly string[];
  readonly shapes: readonly Shape[];
  readonly topics: number;
  readonly rates: readonly number[] | undefined;
  readonly fields: FieldCount;
  readonly prefetched: boolean;
  readonly loadSeconds: number;
  readonly repeats: number;
  readonly json: string | undefined;
  readonly html: string | undefined;
  readonly gates: readonly Gate[];
  readonly verbose: boolean;
}

const options = {
  modes: { type: 'string' },
  peers: { type: 'string', default: 'node-rdkafka,rdkafka-toolkit-pool-2' },
  repeats: { type: 'string' },
  json: { type: 'string' },
  html: { type: 'string' },
  verbose: { type: 'boolean', default: false },
  records: { type: 'string' },
  'record-bytes': { type: 'string', default: '150' },
  headers: { type: 'string', default: '0' },
  compression: { type: 'string', default: 'none' },
  partitions: { type: 'string' },
  topics: { type: 'string', default: '1' },
  rates: { type: 'string' },
  fields: { type: 'string', default: '9' },
  prefetched: { type: 'boolean', default: false },
  seconds: { type: 'string', default: '10' },
  sweep: { type: 'string', multiple: true },
  kafka: { type: 'boolean', default: false },
  smoke: { type: 'boolean', default: false },
  gate: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

/**
 * Reads the command line; undefined when help is asked for.
 *
 * @throws ConfigError with every fault at once
 */
export function parseBenchOptions(args: readonly string[], kafkaAddress: string | undefined): BenchOptions | undefined {
  const { values } = parseArgs({ args: [...args], options });
  if (values.help) return undefined;
  const faults: string[] = [];
  const modes = pick('--modes', values.modes === 'all' ? MODES.join(',') : (values.modes ?? DEFAULT_MODES.join(',')), MODES, faults);
  const bootstrapServers = kafkaAddress || undefined;
  const isMock = bootstrapServers === undefined && !values.kafka;
  const shapes = shapesOf({
    records: counts('--records', values.records ?? (values.smoke ? '40000' : '400000'), faults),
    recordBytes: counts('--record-bytes', values['record-bytes'], faults, RECORD_BYTES_MIN),
    headers: counts('--headers', values.headers, faults, 0),
    compression: pick('--compression', values.compression, COMPRESSIONS, faults),
    partitions: counts('--partitions', values.partitions ?? (isMock ? '32' : '4'), faults),
  });
  const gates = values.gate === undefined ? [] : values.gate.split(',').map((text) => parseGate(text, faults));
  const variants = (values.sweep ?? []).flatMap((text) => parseSweep(text, faults));
  const rest = {
    topics: counts('--topics', values.topics, faults)[0]!,
    rates: values.rates === undefined ? undefined : counts('--rates', values.rates, faults, 0),
    fields: fieldsOf(values.fields, faults),
    prefetched: values.prefetched,
    loadSeconds: counts('--seconds', values.seconds, faults)[0]!,
    repeats: counts('--repeats', values.repeats ?? (values.smoke ? '1' : '5'), faults)[0]!,
  };
  const notPrefetchable = values.prefetched ? modes.filter((mode) => !PREFETCHABLE.includes(mode)) : [];
  if (notPrefetchable.length > 0)
    faults.push(`Expected --prefetched with modes of ${PREFETCHABLE.join(', ')}, got ${notPrefetchable.join(', ')}`);
  const peers = parsePeers(values.peers, modes, isMock, faults);
  if (faults.length > 0) throw new ConfigError(faults);
  const asked = CLIENTS.filter((client) => client === 'rdkafka-toolkit' || peers.clients.includes(client));
  const clients = values.prefetched ? asked.filter(canPrefetch) : asked;
  return {
    broker: { bootstrapServers, kafka: values.kafka },
    modes,
    contestants:
      variants.length > 0 ? [{ client: 'rdkafka-toolkit', vars: {} }, ...variants] : clients.map((client) => ({ client, vars: {} })),
    leftOut: [...peers.leftOut, ...compressionsLeftOut(clients, modes, shapes)],
    shapes,
    ...rest,
    json: values.json,
    html: values.html,
    gates,
    verbose: values.verbose,
  };
}

/** `all` leaves out what is not there; a peer that is asked for by name must be. What a mode is compared with always runs. */
function parsePeers(
  text: string,
  modes: readonly Mode[],
  isMock: boolean,
  faults: string[],
): { readonly clients: readonly ClientName[]; readonly leftOut: readonly string[] } {
  const others = CLIENTS.slice(1);
  const references = modes.flatMap((mode) => ownReference(mode) ?? []);
  const asked = text === 'none' ? [] : text === 'all' ? others : pick('--peers', text, others, faults, ', all or none');
  const clients: ClientName[] = [...references];
  const leftOut: string[] = [];
  for (const client of asked) {
    if (!modes.some((mode) => cannotRun(client, mode, 'none') === undefined)) continue;
    const reason = isMock && needsRealKafka(client) ? 'it does not speak to the embedded broker (--kafka)' : preparePeer(client, modes);
    if (reason === undefined) clients.push(client);
    else if (text === 'all') leftOut.push(`left out: ${client}: ${reason}`);
    else faults.push(`Cannot measure ${client}: ${reason}`);
  }
  return { clients, leftOut };
}

function compressionsLeftOut(clients: readonly ClientName[], modes: readonly Mode[], shapes: readonly Shape[]): string[] {
  const reasons = shapes.flatMap(({ compression }) =>
    clients.flatMap((client) => modes.map((mode) => cannotRun(client, mode, compression))),
  );
  return [...new Set(reasons.filter((reason) => reason !== undefined && reason !== 'mode'))].map((reason) => `left out: ${reason}`);
}

function fieldsOf(text: string, faults: string[]): FieldCount {
  const known = FIELD_COUNTS.find((fields) => String(fields) === text);
  if (known === undefined) faults.push(`Expected --fields to be ${FIELD_COUNTS.join(' or ')}, got "${text}"`);
  return known ?? 9;
}

function parseSweep(text: string, faults: string[]): Contestant[] {
  const [, name, values] = /^(\w+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || values === undefined) {
    faults.push(`Expected --sweep to be VARIABLE=VALUE,VALUE…, got "${text}"`);
    return [];
  }
  return values.split(',').map((value) => ({ client: 'rdkafka-toolkit', vars: { [name]: value } }));
}

function parseGate(text: string, faults: string[]): Gate {
  const [mode = '', ratio = ''] = text.split('=');
  const known = MODES.find((name) => name === mode);
  if (known === undefined || !(Number(ratio) > 0)) faults.push(`Expected --gate to be MODE=RATIO, got "${text}"`);
  return { mode: known ?? 'batch', ratio: Number(ratio) };
}

function pick<T extends string>(flag: string, text: string, known: readonly T[], faults: string[], others = ''): readonly T[] {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !(known as readonly string[]).includes(name));
  if (unknown.length > 0) faults.push(`Expected ${flag} to be of ${known.join(', ')}${others}, got "${unknown.join(',')}"`);
  return known.filter((name) => names.includes(name));
}

/** A list of whole numbers, at least one. */
export function counts(flag: string, text: string, faults: string[], least = 1): readonly number[] {
  return text.split(',').map((item) => {
    const value = Number(item);
    if (!Number.isSafeInteger(value) || value < least || item.trim() === '') {
      faults.push(`Expected ${flag} to be whole numbers from ${least}, got "${item}"`);
    }
    return value;
  });
}
