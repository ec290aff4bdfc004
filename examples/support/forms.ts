import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { type AvroSchema, consumeAllMessages, createAvroConsumer, createSchemaRegistry, defineSchema } from 'rdkafka-toolkit';
import type { Outcome } from './run-main.ts';
import type { Services } from './services.ts';

/** What a visitor fills in. */
export interface Feedback {
  readonly name: string;
  readonly stars: number;
  readonly comment: string | null;
}

export const feedbackSchema: AvroSchema<Feedback> = defineSchema({
  type: 'record',
  name: 'Feedback',
  fields: [
    { name: 'name', type: 'string' },
    { name: 'stars', type: 'int' },
    { name: 'comment', type: ['null', 'string'], default: null },
  ],
});

/** A form's fields are all texts. What does not fit the schema is refused by it, with the field's name. */
export function feedbackOf(fields: unknown): Feedback {
  const { name, stars, comment } = fields as Partial<Record<keyof Feedback, unknown>>;
  const text = comment === undefined || comment === '' ? null : comment;
  return { name, stars: typeof stars === 'string' && stars !== '' ? Number(stars) : stars, comment: text } as Feedback;
}

/** Who may send forms: FORMS_USER and FORMS_PASSWORD; without them a password that is made anew at each start. */
export class Login {
  readonly user: string = process.env.FORMS_USER ?? 'demo';
  readonly password: string = process.env.FORMS_PASSWORD ?? randomBytes(12).toString('base64url');

  /** Whether an `Authorization` header is right. Comparing digests takes as long whatever is wrong. */
  admits(authorization: string | undefined): boolean {
    return timingSafeEqual(digest(authorization ?? ''), digest(this.authorization));
  }

  get authorization(): string {
    return `Basic ${Buffer.from(`${this.user}:${this.password}`).toString('base64')}`;
  }

  /** What a browser that is not signed in is answered with. */
  readonly challenge = 'Basic realm="forms", charset="UTF-8"';
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

export const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Feedback</title>
<h1>How was it?</h1>
<form method="post" action="/feedback">
  <p><label>Your name <input name="name" required></label></p>
  <p><label>Stars <input name="stars" type="number" min="1" max="5" required></label></p>
  <p><label>What could be better? <textarea name="comment"></textarea></label></p>
  <p><button>Send</button></p>
</form>
</html>
`;

const VISITORS = 40;

/** Without PORT the visitors come, and `visited` fires when they are gone; else says where others find the form. Gives how often each status came. */
export async function serveVisitors(url: string, login: Login, visited: AbortController): Promise<ReadonlyMap<number, number>> {
  if (process.env.PORT !== undefined) {
    console.log(`${url} for ${login.user}, password ${login.password}`);
    return new Map();
  }
  const statuses = await visit(url, login, VISITORS);
  visited.abort();
  return statuses;
}

/** What became of the visitors' forms: each that was accepted is in the topic. */
export function outcomeOf(statuses: ReadonlyMap<number, number>, { length: stored }: readonly Feedback[]): Outcome {
  const count = (status: number): number => statuses.get(status) ?? 0;
  return {
    line: `202 × ${count(202)}, 400 × ${count(400)}, 401 × ${count(401)}, records in the topic ${stored}`,
    ok: process.env.PORT !== undefined || stored === count(202),
  };
}

/** Visitors who send `count` forms, one in ten without signing in and one in ten with a field left out; gives how often each status came. */
async function visit(url: string, login: Login, count: number): Promise<ReadonlyMap<number, number>> {
  const statuses = new Map<number, number>();
  for (let visitor = 0; visitor < count; visitor++) {
    const fields = { name: `visitor ${visitor}`, ...(visitor % 10 === 5 ? {} : { stars: String(1 + (visitor % 5)) }), comment: '' };
    const { status } = await fetch(`${url}/feedback`, {
      method: 'POST',
      body: new URLSearchParams(fields),
      headers: visitor % 10 === 3 ? {} : { authorization: login.authorization },
    });
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }
  return statuses;
}

/** All feedback in a topic. */
export async function readFeedback(services: Services, topic: string): Promise<Feedback[]> {
  const vars = services.vars('check');
  await using consumer = await createAvroConsumer({
    vars,
    topics: [topic],
    valueSchema: feedbackSchema,
    registry: createSchemaRegistry({ vars }),
  });
  const values: Feedback[] = [];
  for await (const { value } of consumeAllMessages(consumer)) if (value !== null) values.push(value);
  return values;
}
