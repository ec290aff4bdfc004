import type { SchemaRegistryError } from '../errors.ts';
import { readLevel, readMode, SCHEMA_TYPES } from './schema-registry-body.ts';
import { failures } from './schema-registry-errors.ts';
import type { SchemaRegistryStore, StoredSchema, SubjectVersion } from './schema-registry-store.ts';

/** What a route is given. `params` are the decoded path segments that its pattern leaves open. */
interface Call {
  readonly params: readonly string[];
  readonly query: URLSearchParams;
  readonly body: unknown;
}

type Handler = (store: SchemaRegistryStore, call: Call) => unknown;

/** A schema sent as it is, not as a JSON string. */
export class RawSchema {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

const ROUTES: Readonly<Record<string, Handler>> = {
  'GET /': () => ({}),
  'GET /subjects': (store, { query }) => store.subjects(query.get('subjectPrefix') ?? '', isOn(query, 'deleted')),
  'POST /subjects/*': (store, { params, query, body }) =>
    showVersion(store.lookup(params[0]!, body, isOn(query, 'normalize'), isOn(query, 'deleted'))),
  'DELETE /subjects/*': (store, { params, query }) => store.deleteSubject(params[0]!, isOn(query, 'permanent')),
  'GET /subjects/*/versions': (store, { params, query }) =>
    store.versions(params[0]!, isOn(query, 'deleted')).map(({ version }) => version),
  'POST /subjects/*/versions': (store, { params, query, body }) => ({ id: store.register(params[0]!, body, isOn(query, 'normalize')).id }),
  'GET /subjects/*/versions/*': (store, call) => showVersion(versionOf(store, call)),
  'DELETE /subjects/*/versions/*': (store, { params, query }) => store.deleteVersion(params[0]!, params[1]!, isOn(query, 'permanent')),
  'GET /subjects/*/versions/*/schema': (store, call) => new RawSchema(versionOf(store, call).stored.schema),
  'GET /subjects/*/versions/*/referencedby': (store, call) => store.referencedBy(call.params[0]!, versionOf(store, call).version),
  'GET /schemas/types': () => SCHEMA_TYPES,
  'GET /schemas/ids/*': (store, { params }) => showSchema(store.schema(readId(params[0]!))),
  'GET /schemas/ids/*/schema': (store, { params }) => new RawSchema(store.schema(readId(params[0]!)).schema),
  'GET /schemas/ids/*/versions': (store, { params, query }) =>
    store.usesOf(readId(params[0]!), isOn(query, 'deleted')).map(({ subject, version }) => ({ subject, version })),
  'GET /schemas/ids/*/subjects': (store, { params, query }) => [
    ...new Set(store.usesOf(readId(params[0]!), isOn(query, 'deleted')).map(({ subject }) => subject)),
  ],
  'GET /config': (store) => ({ compatibilityLevel: store.level }),
  'PUT /config': (store, { body }) => {
    const level = readLevel(body);
    store.assertWritable(undefined);
    store.level = level;
    return { compatibility: level };
  },
  'GET /config/*': (store, { params, query }) => {
    const subject = params[0]!;
    if (!store.levels.has(subject) && !isOn(query, 'defaultToGlobal')) throw failures.noSubjectLevel(subject);
    return { compatibilityLevel: store.levelOf(subject) };
  },
  'PUT /config/*': (store, { params, body }) => {
    const level = readLevel(body);
    store.assertWritable(params[0]);
    store.levels.set(params[0]!, level);
    return { compatibility: level };
  },
  'DELETE /config/*': (store, { params }) => {
    const level = store.levels.get(params[0]!);
    if (level === undefined) throw failures.subjectNotFound(params[0]!);
    store.assertWritable(params[0]);
    store.levels.delete(params[0]!);
    return { compatibilityLevel: level };
  },
  'GET /mode': (store) => ({ mode: store.mode }),
  'PUT /mode': (store, { body }) => {
    store.mode = readMode(body);
    return { mode: store.mode };
  },
  'GET /mode/*': (store, { params, query }) => {
    const subject = params[0]!;
    if (!store.modes.has(subject) && !isOn(query, 'defaultToGlobal')) throw failures.noSubjectMode(subject);
    return { mode: store.modeOf(subject) };
  },
  'PUT /mode/*': (store, { params, body }) => {
    const mode = readMode(body);
    store.modes.set(params[0]!, mode);
    return { mode };
  },
  'DELETE /mode/*': (store, { params }) => {
    const mode = store.modes.get(params[0]!);
    if (mode === undefined) throw failures.subjectNotFound(params[0]!);
    store.modes.delete(params[0]!);
    return { mode };
  },
  'POST /compatibility/subjects/*/versions': testCompatibility,
  'POST /compatibility/subjects/*/versions/*': testCompatibility,
};

function testCompatibility(store: SchemaRegistryStore, { params, query, body }: Call): unknown {
  const messages = store.incompatibilities(params[0]!, params[1], body);
  return { is_compatible: messages.length === 0, ...(isOn(query, 'verbose') && { messages }) };
}

function versionOf(store: SchemaRegistryStore, { params, query }: Call): SubjectVersion {
  return store.version(params[0]!, params[1]!, isOn(query, 'deleted'));
}

/** As Confluent sends it: no `schemaType` for Avro, no `references` where there are none. */
function showSchema({ schemaType, schema, references }: StoredSchema): object {
  return { ...(schemaType !== 'AVRO' && { schemaType }), schema, ...(references.length > 0 && { references }) };
}

function showVersion({ subject, version, stored }: SubjectVersion): object {
  return { subject, id: stored.id, version, ...showSchema(stored) };
}

function isOn(query: URLSearchParams, name: string): boolean {
  return query.get(name)?.toLowerCase() === 'true';
}

/** Confluent's registry takes the id as a path parameter of type int: anything else is no path of its. */
function readId(text: string): number {
  if (!/^-?\d{1,10}$/.test(text)) throw failures.noSuchPath();
  return Number(text);
}

/** One path, with a handler for each method it takes. */
interface Route {
  readonly segments: readonly string[];
  readonly handlers: ReadonlyMap<string, Handler>;
}

const ROUTE_TABLE: readonly Route[] = buildRoutes();

function buildRoutes(): Route[] {
  const byPath = new Map<string, Map<string, Handler>>();
  for (const [route, handler] of Object.entries(ROUTES)) {
    const [method, path] = route.split(' ') as [string, string];
    const handlers = byPath.get(path) ?? new Map<string, Handler>();
    byPath.set(path, handlers.set(method, handler));
  }
  return [...byPath].map(([path, handlers]) => ({ segments: path.slice(1).split('/'), handlers }));
}

/** The handler of a request, or why there is none; `allow` lists the methods the path does take. */
export type Routed =
  | { readonly run: (store: SchemaRegistryStore, body: unknown) => unknown }
  | { readonly error: SchemaRegistryError; readonly allow?: string };

/**
 * Finds the handler of a request.
 *
 * @param path As sent: percent-encoded, without the query. Segments are decoded one by one, so a subject may hold a slash.
 */
export function route(method: string, path: string, query: URLSearchParams): Routed {
  let segments: string[];
  try {
    segments = path.replace(/\/$/, '').slice(1).split('/').map(decodeURIComponent);
  } catch (error) {
    return { error: failures.badRequest(`Malformed percent-encoding in ${path}`, error) };
  }
  const found = ROUTE_TABLE.find((candidate) => matches(candidate.segments, segments));
  if (found === undefined) return { error: failures.noSuchPath() };
  const handler = found.handlers.get(method);
  if (handler === undefined) return { error: failures.methodNotAllowed(), allow: [...found.handlers.keys()].join(', ') };
  const params = segments.filter((_, index) => found.segments[index] === '*');
  return { run: (store, body) => handler(store, { params, query, body }) };
}

function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  return (
    pattern.length === segments.length && pattern.every((part, index) => (part === '*' ? segments[index] !== '' : part === segments[index]))
  );
}
