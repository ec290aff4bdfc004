import type { Type } from 'avsc';
import { type CompatibilityLevel, findIncompatibilities, parseAvro, sortKeys } from './schema-registry-avro.ts';
import { parseVersion, readSchemaBody, type SchemaReference } from './schema-registry-body.ts';
import { failures, type Mode } from './schema-registry-errors.ts';

/** A schema under its id. One id for one schema, whatever the number of subjects it is registered under. */
export interface StoredSchema {
  readonly id: number;
  readonly schemaType: string;
  readonly schema: string;
  readonly references: readonly SchemaReference[];
  readonly key: string;
  readonly normalizedKey: string;
  readonly type: Type | undefined;
}

/** A schema under a subject. */
export interface SubjectVersion {
  readonly subject: string;
  readonly version: number;
  readonly stored: StoredSchema;
  deleted: boolean;
}

type Parsed = Omit<StoredSchema, 'id'>;

/** What the REST interface reads and writes: schemas, subjects, levels and modes, in memory. Throws `SchemaRegistryError`s to answer with. */
export class SchemaRegistryStore {
  level: CompatibilityLevel;
  mode: Mode = 'READWRITE';
  readonly levels: Map<string, CompatibilityLevel> = new Map();
  readonly modes: Map<string, Mode> = new Map();
  readonly #schemas = new Map<number, StoredSchema>();
  /** Oldest first; no subject has an empty list. */
  readonly #subjects = new Map<string, SubjectVersion[]>();
  #nextId = 1;

  constructor(level: CompatibilityLevel) {
    this.level = level;
  }

  subjects(prefix: string, deleted: boolean): string[] {
    const names = [...this.#subjects].filter(([name, versions]) => name.startsWith(prefix) && (deleted || versions.some(isLive)));
    return names.map(([name]) => name).sort();
  }

  versions(subject: string, deleted: boolean): SubjectVersion[] {
    const versions = this.#versions(subject).filter((version) => deleted || isLive(version));
    if (versions.length === 0) throw failures.subjectNotFound(subject);
    return versions;
  }

  /** @param version A number, `latest` or `-1`, as it stands in the path. */
  version(subject: string, version: string, deleted: boolean): SubjectVersion {
    const number = parseVersion(version);
    const versions = this.versions(subject, deleted);
    const found = number === -1 ? versions.at(-1) : versions.find((candidate) => candidate.version === number);
    if (found === undefined) throw failures.versionNotFound(number);
    return found;
  }

  schema(id: number): StoredSchema {
    const stored = this.#schemas.get(id);
    if (stored === undefined) throw failures.schemaNotFound(id);
    return stored;
  }

  usesOf(id: number, deleted: boolean): SubjectVersion[] {
    this.schema(id);
    return this.#all().filter((use) => use.stored.id === id && (deleted || isLive(use)));
  }

  /** Ids of the schemas that name this version. */
  referencedBy(subject: string, version: number): number[] {
    const users = this.#all().filter(
      (use) => isLive(use) && use.stored.references.some((to) => to.subject === subject && to.version === version),
    );
    return [...new Set(users.map((use) => use.stored.id))].sort((a, b) => a - b);
  }

  lookup(subject: string, body: unknown, normalize: boolean, deleted: boolean): SubjectVersion {
    const versions = this.versions(subject, deleted);
    const found = findSame(versions, this.#parse(body), normalize);
    if (found === undefined) throw failures.schemaNotFound();
    return found;
  }

  register(subject: string, body: unknown, normalize: boolean): StoredSchema {
    this.assertWritable(subject);
    const parsed = this.#parse(body);
    const versions = this.#versions(subject);
    const live = versions.filter(isLive);
    const registered = findSame(live, parsed, normalize);
    if (registered !== undefined) return registered.stored;
    const level = this.levelOf(subject);
    const messages = findIncompatibilities(level, parsed, live.map(toChecked));
    if (messages.length > 0) throw failures.incompatible(subject, level, messages);
    const stored = [...this.#schemas.values()].find((known) => isSame(known, parsed, normalize)) ?? { id: this.#nextId++, ...parsed };
    this.#schemas.set(stored.id, stored);
    const version = (versions.at(-1)?.version ?? 0) + 1;
    this.#subjects.set(subject, [...versions, { subject, version, stored, deleted: false }]);
    return stored;
  }

  /** @param version Undefined checks all that the subject's level asks for; `latest` of an unknown subject is compatible. */
  incompatibilities(subject: string, version: string | undefined, body: unknown): string[] {
    const live = this.#versions(subject).filter(isLive);
    const latest = version === undefined || parseVersion(version) === -1;
    const against = version === undefined ? live : latest ? live.slice(-1) : [this.version(subject, version, false)];
    return findIncompatibilities(this.levelOf(subject), this.#parse(body), against.map(toChecked));
  }

  deleteSubject(subject: string, permanent: boolean): number[] {
    this.assertWritable(subject);
    const all = this.versions(subject, true);
    const live = all.filter(isLive);
    if (permanent && live.length > 0) throw failures.subjectNotSoftDeleted(subject);
    if (!permanent && live.length === 0) throw failures.subjectSoftDeleted(subject);
    const going = permanent ? all : live;
    for (const { version } of going) this.#assertUnreferenced(subject, version);
    this.#remove(subject, going, permanent);
    return going.map(({ version }) => version);
  }

  deleteVersion(subject: string, version: string, permanent: boolean): number {
    this.assertWritable(subject);
    const going = this.version(subject, version, parseVersion(version) !== -1 || permanent);
    if (permanent && isLive(going)) throw failures.versionNotSoftDeleted(subject, going.version);
    if (!permanent && !isLive(going)) throw failures.versionSoftDeleted(subject, going.version);
    this.#assertUnreferenced(subject, going.version);
    this.#remove(subject, [going], permanent);
    return going.version;
  }

  levelOf(subject: string): CompatibilityLevel {
    return this.levels.get(subject) ?? this.level;
  }

  modeOf(subject: string): Mode {
    return this.mode === 'READONLY_OVERRIDE' ? this.mode : (this.modes.get(subject) ?? this.mode);
  }

  assertWritable(subject: string | undefined): void {
    const mode = subject === undefined ? this.mode : this.modeOf(subject);
    if (mode !== 'READWRITE') throw failures.readOnly(subject);
  }

  #versions(subject: string): readonly SubjectVersion[] {
    return this.#subjects.get(subject) ?? [];
  }

  #all(): SubjectVersion[] {
    return [...this.#subjects.values()].flat();
  }

  #assertUnreferenced(subject: string, version: number): void {
    if (this.referencedBy(subject, version).length > 0) throw failures.referenceExists(subject, version);
  }

  #remove(subject: string, going: readonly SubjectVersion[], permanent: boolean): void {
    for (const version of going) version.deleted = true;
    if (permanent) {
      const kept = this.#versions(subject).filter((version) => !going.includes(version));
      if (kept.length > 0) this.#subjects.set(subject, kept);
      else this.#subjects.delete(subject);
      for (const { stored } of going) if (!this.#all().some((use) => use.stored.id === stored.id)) this.#schemas.delete(stored.id);
    }
    // As Confluent's registry does: a subject's own level and mode go with its last version.
    if (this.#versions(subject).some(isLive)) return;
    this.levels.delete(subject);
    this.modes.delete(subject);
  }

  #parse(body: unknown): Parsed {
    const { schema, schemaType, references } = readSchemaBody(body);
    const resolved = references.map((reference) => this.#resolve(reference));
    try {
      const { text, key, sorted, type } = parseText(schemaType, schema, this.#dependencies(resolved));
      const order = (list: readonly SchemaReference[]) => list.map((to) => [to.name, to.subject, to.version]);
      const byName = resolved.toSorted((a, b) => (a.name < b.name ? -1 : 1));
      return {
        schemaType,
        schema: text,
        references: resolved,
        key: JSON.stringify([schemaType, key, order(resolved)]),
        normalizedKey: JSON.stringify([schemaType, sorted, order(byName)]),
        type,
      };
    } catch (error) {
      throw failures.invalidSchema(error instanceof Error ? error.message : String(error), error);
    }
  }

  #resolve(reference: SchemaReference): SchemaReference {
    const { name, subject, version } = reference;
    try {
      return { name, subject, version: this.version(subject, String(version), false).version };
    } catch (error) {
      throw failures.invalidSchema(`No schema reference found for subject "${subject}" and version ${version}`, error);
    }
  }

  /** Text of all schemas that `references` lead to, each after those it depends on. */
  #dependencies(references: readonly SchemaReference[], found: Map<number, string> = new Map()): Iterable<string> {
    for (const { subject, version } of references) {
      // Soft-deleted versions too: what was registered with them stays readable.
      const { stored } = this.version(subject, String(version), true);
      if (found.has(stored.id)) continue;
      this.#dependencies(stored.references, found);
      found.set(stored.id, stored.schema);
    }
    return found.values();
  }
}

const isLive = (version: SubjectVersion): boolean => !version.deleted;

const toChecked = ({ version, stored }: SubjectVersion) => ({ version, schemaType: stored.schemaType, type: stored.type });

function isSame(a: Parsed, b: Parsed, normalize: boolean): boolean {
  return normalize ? a.normalizedKey === b.normalizedKey : a.key === b.key;
}

function findSame(versions: readonly SubjectVersion[], parsed: Parsed, normalize: boolean): SubjectVersion | undefined {
  return versions.findLast(({ stored }) => isSame(stored, parsed, normalize));
}

function parseText(schemaType: string, schema: string, dependencies: Iterable<string>) {
  if (schemaType === 'AVRO') {
    const { text, key, type } = parseAvro(schema, dependencies);
    return { text, key, sorted: key, type };
  }
  if (schemaType === 'PROTOBUF') return { text: schema, key: schema, sorted: schema, type: undefined };
  const value: unknown = JSON.parse(schema);
  const text = JSON.stringify(value);
  return { text, key: text, sorted: JSON.stringify(sortKeys(value)), type: undefined };
}
