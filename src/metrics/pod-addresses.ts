import { lookup, Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** An answer is asked for again after this time at the latest, however long the DNS server would have it kept. */
const TTL_MAX_MS = 30_000;

/** What the system's look-up gives comes without a time to live. */
const LOOKUP_TTL_MS = 10_000;

/** Answers that say "there is none", which is no failure of the DNS server. */
const NO_ADDRESSES: ReadonlySet<string> = new Set(['ENODATA', 'ENOTFOUND']);

export interface PodAddressesOptions {
  /** A headless service's name, or an IP address. */
  readonly host: string;
  /** 4 or 6 asks for such addresses only. */
  readonly family: 0 | 4 | 6;
  /** How long addresses stay in use while the DNS server fails or knows none. */
  readonly keepAddressesMs: number;
  readonly timeoutMs: number;
  /** DNS servers to ask instead of the system's; then nothing else is asked. */
  readonly dnsServers: readonly string[] | undefined;
  /** The system's look-up, which knows search domains and /etc/hosts. */
  readonly lookup?: ((host: string, family: 0 | 4 | 6) => Promise<readonly string[]>) | undefined;
}

/** What a resolution gave. */
export interface Resolution {
  readonly addresses: readonly string[];
  /** Why the addresses are those of an earlier resolution, or none: `dns_empty`, or `dns_` and the resolver's code. */
  readonly failure: string | undefined;
}

interface Answer {
  readonly family: 4 | 6;
  readonly addresses: readonly string[];
  readonly ttlMs: number;
  /** The resolver's code, where it failed: "there is none" is no failure. */
  readonly failure: string | undefined;
}

/** The addresses of the pods behind a headless service, looked up again when their time to live is over. */
export class PodAddresses {
  readonly #options: PodAddressesOptions;
  readonly #resolver: Resolver;
  readonly #lookup: ((host: string, family: 0 | 4 | 6) => Promise<readonly string[]>) | undefined;
  /** The last addresses, and until when each may be used without a new answer. */
  #known: ReadonlyMap<string, number> = new Map();
  #last: Resolution = { addresses: [], failure: undefined };
  #freshUntil = 0;
  #resolving: Promise<Resolution> | undefined;

  constructor(options: PodAddressesOptions) {
    this.#options = options;
    this.#resolver = new Resolver({ timeout: Math.max(1, Math.round(options.timeoutMs / 4)), tries: 2 });
    if (options.dnsServers !== undefined) this.#resolver.setServers(options.dnsServers);
    this.#lookup = options.dnsServers === undefined ? (options.lookup ?? systemLookup) : undefined;
  }

  /** Never rejects; one resolution at a time. */
  resolve(): Promise<Resolution> {
    const literal = this.#options.host.replace(/^\[(.*)\]$/, '$1');
    if (isIP(literal) !== 0) return Promise.resolve({ addresses: [literal], failure: undefined });
    if (performance.now() < this.#freshUntil) return Promise.resolve(this.#last);
    this.#resolving ??= this.#resolve().finally(() => {
      this.#resolving = undefined;
    });
    return this.#resolving;
  }

  /** As {@link resolve}; when that takes longer than `waitMs` and addresses are known, those: a DNS server that hangs delays no push. */
  async resolveSoon(waitMs: number): Promise<Resolution> {
    const resolving = this.resolve();
    const addresses = this.#unexpired(undefined);
    if (addresses.length === 0) return resolving;
    const late = new AbortController();
    const stale = sleep(waitMs, { addresses, failure: 'dns_slow' }, { signal: late.signal }).catch(() => resolving);
    const first = await Promise.race([resolving, stale]);
    late.abort();
    return first;
  }

  async #resolve(): Promise<Resolution> {
    const { host, family } = this.#options;
    const answers = await Promise.all((family === 0 ? ([4, 6] as const) : [family]).map((each) => this.#ask(each)));
    const failed = answers.filter(({ failure }) => failure !== undefined);
    const found = answers.flatMap(({ addresses }) => addresses);
    if (found.length > 0) {
      // A family whose question failed keeps its pods; one that has none any more does not.
      const kept = new Map(
        failed.flatMap((answer) => this.#unexpired(answer.family)).map((address) => [address, this.#known.get(address)!]),
      );
      return this.#use(found, kept, Math.min(...answers.map(({ ttlMs }) => ttlMs)), failed[0]?.failure);
    }
    const looked = (await this.#lookup?.(host, family).catch(() => [])) ?? [];
    if (looked.length > 0) return this.#use(looked, new Map(), LOOKUP_TTL_MS, undefined);
    this.#last = { addresses: this.#unexpired(undefined), failure: failed[0]?.failure ?? 'dns_empty' };
    return this.#last;
  }

  #use(found: readonly string[], kept: ReadonlyMap<string, number>, ttlMs: number, failure: string | undefined): Resolution {
    const now = performance.now();
    this.#known = new Map([...kept, ...found.map((address) => [address, now + this.#options.keepAddressesMs] as const)]);
    // Where something is amiss, the next push asks again.
    this.#freshUntil = failure === undefined ? now + Math.min(ttlMs, TTL_MAX_MS) : 0;
    this.#last = { addresses: [...this.#known.keys()], failure };
    return this.#last;
  }

  #unexpired(family: 4 | 6 | undefined): string[] {
    const now = performance.now();
    return [...this.#known]
      .filter(([address, until]) => until > now && (family ?? isIP(address)) === isIP(address))
      .map(([address]) => address);
  }

  async #ask(family: 4 | 6): Promise<Answer> {
    const { host } = this.#options;
    try {
      const records =
        family === 4 ? await this.#resolver.resolve4(host, { ttl: true }) : await this.#resolver.resolve6(host, { ttl: true });
      const ttl = Math.min(...records.map((record) => record.ttl));
      return { family, addresses: records.map(({ address }) => address), ttlMs: ttl * 1000, failure: undefined };
    } catch (error) {
      const code = String((error as { code?: unknown }).code ?? 'EUNKNOWN');
      const failure = NO_ADDRESSES.has(code) ? undefined : `dns_${code.toLowerCase()}`;
      return { family, addresses: [], ttlMs: TTL_MAX_MS, failure };
    }
  }
}

async function systemLookup(host: string, family: 0 | 4 | 6): Promise<readonly string[]> {
  const found = await lookup(host, { all: true, family });
  return found.map(({ address }) => address);
}
