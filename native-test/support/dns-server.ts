import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';

/** What the server says when it is asked for a name; it says the same of every name. */
export interface DnsAnswers {
  readonly a?: readonly string[];
  readonly aaaa?: readonly string[];
  /** 0 with answers or none, 2 SERVFAIL, 3 NXDOMAIN. @default 0 */
  readonly code?: number;
  /** Of IPv6 questions, when it is another. */
  readonly codeOfAaaa?: number;
  readonly ttlSeconds?: number;
  /** Never answers. */
  readonly silent?: boolean;
}

const TYPE_A = 1;
const TYPE_AAAA = 28;

/** A DNS server for A and AAAA questions on a loopback port, whose answers can be changed. */
export class DnsServer implements AsyncDisposable {
  readonly #socket: Socket;
  answers: DnsAnswers;
  /** Questions so far. */
  questions = 0;

  private constructor(socket: Socket, answers: DnsAnswers) {
    this.#socket = socket;
    this.answers = answers;
    socket.on('message', (query, from) => this.#answer(query, from));
  }

  static async start(answers: DnsAnswers): Promise<DnsServer> {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(0, '127.0.0.1', resolve);
    });
    return new DnsServer(socket, answers);
  }

  /** For `Resolver.setServers`. */
  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  #answer(query: Buffer, { port, address }: RemoteInfo): void {
    this.questions++;
    const { a = [], aaaa = [], code = 0, codeOfAaaa = code, ttlSeconds = 0, silent = false } = this.answers;
    if (silent) return;
    const end = questionEnd(query);
    const type = query.readUInt16BE(end - 4);
    const rcode = type === TYPE_AAAA ? codeOfAaaa : code;
    const wanted = type === TYPE_A ? a.map(bytesOfIpv4) : type === TYPE_AAAA ? aaaa.map(bytesOfIpv6) : [];
    const records = (rcode === 0 ? wanted : []).map((data) => record(type, ttlSeconds, data));
    const header = Buffer.alloc(12);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | rcode, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    this.#socket.send(Buffer.concat([header, query.subarray(12, end), ...records]), port, address);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => this.#socket.close(resolve));
  }
}

/** Where the one question of a query ends: behind its name, type and class. */
function questionEnd(query: Buffer): number {
  let at = 12;
  while (query[at] !== 0) at += 1 + query[at]!;
  return at + 5;
}

/** A resource record whose name points to the question's. */
function record(type: number, ttlSeconds: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(ttlSeconds, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function bytesOfIpv4(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

function bytesOfIpv6(address: string): Buffer {
  const [head = '', tail = ''] = address.split('::');
  const groups = (text: string): number[] => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)));
  const before = groups(head);
  const after = groups(tail);
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
  const bytes = Buffer.alloc(16);
  for (const [index, group] of all.entries()) bytes.writeUInt16BE(group, 2 * index);
  return bytes;
}
