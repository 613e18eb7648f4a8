import { factsOf } from '@fumehood/base';
import { type DockerStep, type Job, relativePathSchema } from '@fumehood/protocol';
import { uploadStepRefused } from '../errors.ts';
import { shellWords } from './shell-words.ts';

/** An index file that the executor uploads after the last step. */
export interface Upload {
  /** Path of the index from the top of the workspace. */
  readonly file: string;
  /** The indexed directory, from the top of the repository; `''` is the top. */
  readonly root: string;
  /** The name of the indexer, or null for the one that the index names. */
  readonly indexer: string | null;
  readonly route: string;
  readonly associatedIndexId: number;
  /** The value of the authorization header. */
  readonly authorization: string;
}

const routes = ['/.executors/scip/upload', '/.executors/lsif/upload'];
/** The flags of upstream's step that take a value. */
const valueFlags = ['repo', 'commit', 'root', 'upload-route', 'file', 'associated-index-id', 'indexer'];
/** Accepted and ignored: the client sends an index in one request. */
const ignoredFlags = ['max-payload-size'];
const scheme = 'token-executor ';

/** A job without its upload step. */
export interface StrippedJob {
  /** The job without the step and its credential. */
  readonly job: Job;
  readonly upload: Upload | null;
  /** True when the job keeps a credential, because the admin allows it. */
  readonly exposed: boolean;
}

/**
 * Removes the step that uploads an index, in upstream's form, from a job: the executor uploads the index from the host, with the
 * credential that the step holds. Neither that credential nor any of `secrets` is left in the job (docs/invariants.md, 3).
 * Errors: `upload_step_refused` for a step of another form, and for a job that holds a credential elsewhere. With `expose`, such
 * a job is returned unchanged instead.
 */
export function takeUploadStep(job: Job, secrets: readonly string[], expose: boolean): StrippedJob {
  try {
    return { ...stripJob(job, secrets), exposed: false };
  } catch (error) {
    if (!expose || factsOf(error).code !== 'upload_step_refused') throw error;
    return { job, upload: null, exposed: true };
  }
}

function stripJob(job: Job, secrets: readonly string[]): Omit<StrippedJob, 'exposed'> {
  const steps = job.dockerSteps ?? [];
  const at = steps.findIndex(isUploadStep);
  const step = steps[at];
  if (!step) return { job: withoutSecrets(job, secrets), upload: null };
  if (at !== steps.length - 1) throw uploadStepRefused('a step follows the one that uploads');
  const credential = credentialOf(step);
  const rest = withoutSecrets({ ...job, dockerSteps: steps.slice(0, -1) }, [...secrets, credential]);
  // The path of the index goes to the guest, and an error quotes the command: neither may hold a credential.
  refuseCredentials({ ...step, env: null }, [...secrets, credential, job.token]);
  return { job: rest, upload: { ...readCommand(job, step), authorization: `${scheme}${credential}` } };
}

/**
 * Returns the job without the redactions that contain one of `secrets`. Errors: `upload_step_refused` when a secret is anywhere
 * else in the job, or its token anywhere but in `token`.
 */
function withoutSecrets(job: Job, secrets: readonly string[]): Job {
  const known = [...secrets, scheme];
  const redactedValues = Object.entries(job.redactedValues ?? {}).filter(
    (words) => !known.some((secret) => words.join('\0').includes(secret)),
  );
  const rest = { ...job, redactedValues: Object.fromEntries(redactedValues) };
  refuseCredentials({ ...rest, token: '' }, [...known, job.token]);
  return rest;
}

/** Returns whether a step may be the upload step: by its key, or because its image or a variable is meant for `src`. */
function isUploadStep({ key, image, env }: DockerStep): boolean {
  return key === 'upload' || isSrc(image) || (env ?? []).some((line) => line.startsWith('SRC_'));
}

function isSrc(image: string): boolean {
  return /(^|\/)src-cli(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$/.test(image);
}

function credentialOf({ image, env }: DockerStep): string {
  if (!isSrc(image)) throw uploadStepRefused(`the image ${image.slice(0, 200)} is not an image of \`src\``);
  const lines = (env ?? []).map((line) => line.split(/=(.*)/s));
  const names = new Set(lines.map(([name]) => name));
  if (lines.length !== 2 || !names.has('SRC_ENDPOINT') || !names.has('SRC_HEADER_AUTHORIZATION'))
    throw uploadStepRefused(
      'the environment of its step `upload` is not SRC_ENDPOINT and SRC_HEADER_AUTHORIZATION',
    );
  const header = lines.find(([name]) => name === 'SRC_HEADER_AUTHORIZATION')?.[1] ?? '';
  // A shorter credential would be found by chance in other places of the job.
  const credential = /^token-executor ([!-~]{8,})$/.exec(header)?.[1];
  if (credential === undefined)
    throw uploadStepRefused('its authorization is not `token-executor` and a token');
  return credential;
}

function readCommand(job: Job, { commands, dir, argv }: DockerStep): Omit<Upload, 'authorization'> {
  const words = commands?.length === 1 && argv === undefined ? shellWords(commands[0] ?? '') : null;
  if (!words) throw uploadStepRefused('its step `upload` does not run one plain command line');
  const [program, group, command, ...args] = words;
  if (program !== 'src' || !['code-intel', 'lsif'].includes(group ?? '') || command !== 'upload')
    throw uploadStepRefused('its step `upload` does not run `src code-intel upload`');
  const flags = readFlags(args);
  const route = flags.get('upload-route') ?? '';
  if (!routes.includes(route)) throw uploadStepRefused("the route that it uploads to is not an executor's");
  if (flags.get('repo') !== job.repositoryName || flags.get('commit') !== job.commit)
    throw uploadStepRefused('it uploads for another repository or commit than its own');
  const id = flags.get('associated-index-id') ?? '';
  if (!/^[1-9]\d{0,14}$/.test(id)) throw uploadStepRefused('the index that it uploads for is not named');
  const file = relativePath(flags.get('file'));
  if (file === '') throw uploadStepRefused('the file that it uploads is not named');
  const directory = relativePath(dir ?? '');
  return {
    file: directory === '' ? file : `${directory}/${file}`,
    root: relativePath(flags.get('root')),
    indexer: flags.get('indexer') ?? null,
    route,
    associatedIndexId: Number(id),
  };
}

/** Parses flags as Go does: one dash or two, the value after `=` or in the next word. Each flag may occur once. */
function readFlags(args: readonly string[]): Map<string, string> {
  const flags = new Map<string, string>();
  for (let at = 0; at < args.length; at += 1) {
    const [, name = '', value] = /^--?([a-zA-Z][a-zA-Z-]*)(?:=(.*))?$/s.exec(args[at] ?? '') ?? [];
    if (flags.has(name)) throw uploadStepRefused(`it names the flag -${name} twice`);
    if (name === 'no-progress' && value === undefined) flags.set(name, 'true');
    else if (valueFlags.includes(name) || ignoredFlags.includes(name)) {
      const next = value ?? args[(at += 1)];
      if (next === undefined) throw uploadStepRefused(`the flag -${name} has no value`);
      flags.set(name, next);
    } else throw uploadStepRefused(`its argument ${JSON.stringify(args[at]).slice(0, 100)} is not known`);
  }
  return flags;
}

/**
 * Normalizes a relative path: removes leading `./` and trailing slashes, and returns `''` for `.`. Errors: `upload_step_refused`
 * for a path that is absolute or leads out of its directory.
 */
function relativePath(text: string | undefined): string {
  const path = (text ?? '').replace(/^(\.\/+)+/, '').replace(/\/+$/, '');
  if (text?.startsWith('/') || !relativePathSchema.safeParse(path === '.' ? '' : path).success)
    throw uploadStepRefused('a path of its step `upload` leads out of the repository');
  return path === '.' ? '' : path;
}

function refuseCredentials(value: object, secrets: readonly string[]): void {
  const place = findPlace(
    value,
    secrets.map((secret) => Buffer.from(secret)),
    'job',
  );
  if (place !== null) throw uploadStepRefused(`a credential is in ${place}`);
}

/** Returns the path of the first string or name in `value` that contains one of `needles`, or null. */
function findPlace(value: unknown, needles: readonly Buffer[], place: string): string | null {
  if (typeof value === 'string' || value instanceof Uint8Array) {
    const bytes = Buffer.from(value as string);
    return needles.some((needle) => bytes.includes(needle)) ? place : null;
  }
  if (typeof value !== 'object' || value === null) return null;
  for (const [name, inner] of Object.entries(value)) {
    // A name that contains a secret is not part of the returned path.
    const found =
      findPlace(name, needles, `a name of ${place}`) ?? findPlace(inner, needles, `${place}.${name}`);
    if (found !== null) return found.slice(0, 200);
  }
  return null;
}
