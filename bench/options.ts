import { parseArgs } from 'node:util';
import { ConfigError } from 'rdkafka-toolkit';
import { mockRecordsMax } from './broker.ts';
import { CLIENTS, type ClientName, type Contestant, MODES, type Mode, ownReference } from './job.ts';
import { whyMissing } from './programs.ts';

export const USAGE: string = `npm run bench -- [options]
  --modes LIST     of ${MODES.join(',')} (default: all)
  --peers LIST     of ${CLIENTS.slice(1).join(',')},
                   none, or all that are there (default: the first two)
  --records N      records a run (default 400000; sync and concurrent take a fraction of it, idle a hundred)
  --repeats R      (default 3)
  --json FILE      writes every run as a row
  --sweep VAR=A,B  measures the toolkit with its defaults beside the toolkit with each value; may be given again
  --headers LIST   headers of every record; 0,2 measures both (default 0)
  --topics N       spreads the records over so many topics of 4 partitions (default 8)
  --kafka          runs on KAFKA_BOOTSTRAP_SERVERS instead of the embedded mock broker
  --smoke          few records, one repeat: does it work?
  --help
Runtime variables (CONSUMER_PREFETCH_COUNT …) apply to every client.
`;

/** A commit is a round trip: so many records take as long as the other modes' do. */
const SYNC_SHARE = 1 / 400;

export interface BenchOptions {
  readonly modes: readonly Mode[];
  readonly contestants: readonly Contestant[];
  readonly topics: number;
  readonly headers: readonly number[];
  readonly records: number;
  readonly syncRecords: number;
  readonly idleRecords: number;
  /** Of the mode `concurrent`, 256 at a time and one at a time. */
  readonly concurrentRecords: number;
  readonly sequentialRecords: number;
  readonly repeats: number;
  readonly json: string | undefined;
  /** Undefined: the embedded mock broker. */
  readonly bootstrapServers: string | undefined;
}

const options = {
  modes: { type: 'string' },
  peers: { type: 'string', default: 'rdkafka-toolkit-portable,node-rdkafka' },
  records: { type: 'string' },
  repeats: { type: 'string' },
  json: { type: 'string' },
  sweep: { type: 'string', multiple: true },
  topics: { type: 'string', default: '8' },
  headers: { type: 'string', default: '0' },
  kafka: { type: 'boolean', default: false },
  smoke: { type: 'boolean', default: false },
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
  const modes = pick('--modes', values.modes ?? MODES.join(','), MODES, faults);
  const peers = parsePeers(values.peers, faults);
  const records = count('--records', values.records ?? (values.smoke ? '20000' : '400000'), faults);
  const repeats = count('--repeats', values.repeats ?? (values.smoke ? '1' : '3'), faults);
  if (values.kafka && !kafkaAddress) faults.push('Expected KAFKA_BOOTSTRAP_SERVERS to be set with --kafka');
  const topics = count('--topics', values.topics, faults);
  const headers = values.headers.split(',').map((text) => count('--headers', text, faults, 0));
  const recordsMax = mockRecordsMax(topics, Math.max(...headers));
  if (!values.kafka && records > recordsMax) {
    faults.push(`Expected --records to be at most ${recordsMax} on the mock broker, which keeps 5 MB a partition, got ${records}`);
  }
  const variants = (values.sweep ?? []).flatMap((text) => sweep(text, faults));
  if (faults.length > 0) throw new ConfigError(faults);
  const references = modes.map(ownReference);
  return {
    modes,
    contestants:
      variants.length > 0
        ? [{ client: 'rdkafka-toolkit', vars: {} }, ...variants]
        : CLIENTS.filter((client) => client === 'rdkafka-toolkit' || peers.includes(client) || references.includes(client)).map(
            (client) => ({
              client,
              vars: {},
            }),
          ),
    topics,
    headers,
    records,
    syncRecords: Math.min(records, Math.max(50, Math.round(records * SYNC_SHARE))),
    idleRecords: values.smoke ? 10 : 100,
    // All in one topic of 4 partitions.
    concurrentRecords: Math.min(records, 100_000),
    sequentialRecords: Math.min(records, values.smoke ? 200 : 1_500),
    repeats,
    json: values.json,
    bootstrapServers: values.kafka ? kafkaAddress : undefined,
  };
}

/** `all` leaves out what is not installed; a peer that is asked for by name must be there. */
function parsePeers(text: string, faults: string[]): readonly ClientName[] {
  const others = CLIENTS.slice(1);
  if (text === 'none') return [];
  if (text === 'all') return others.filter((client) => whyMissing(client) === undefined);
  const peers = pick('--peers', text, others, faults, ', all or none');
  for (const client of peers) {
    const reason = whyMissing(client);
    if (reason !== undefined) faults.push(`Cannot measure ${client}: ${reason}`);
  }
  return peers;
}

function sweep(text: string, faults: string[]): Contestant[] {
  const [, name, values] = /^(\w+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || values === undefined) {
    faults.push(`Expected --sweep to be VARIABLE=VALUE,VALUE…, got "${text}"`);
    return [];
  }
  return values.split(',').map((value) => ({ client: 'rdkafka-toolkit', vars: { [name]: value } }));
}

function pick<T extends string>(flag: string, text: string, known: readonly T[], faults: string[], others = ''): readonly T[] {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !(known as readonly string[]).includes(name));
  if (unknown.length > 0) faults.push(`Expected ${flag} to be of ${known.join(', ')}${others}, got "${unknown.join(',')}"`);
  return known.filter((name) => names.includes(name));
}

function count(flag: string, text: string, faults: string[], least = 1): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < least || text.trim() === '') {
    faults.push(`Expected ${flag} to be a whole number from ${least}, got "${text}"`);
  }
  return value;
}
