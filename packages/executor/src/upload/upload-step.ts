import { factsOf } from '@fumehood/base';
import { type DockerStep, type Job, relativePathSchema } from '@fumehood/protocol';
import { uploadStepRefused } from '../errors.ts';
import { shellWords } from './shell-words.ts';

/** An index that the executor uploads after the last step, and as whom. */
export interface Upload {
  /** Path of the index from the top of the workspace. */
  readonly file: string;
  /** What was indexed, from the top of the repository; `''` is the repository itself. */
  readonly root: string;
  /** Null: as the index says. */
  readonly indexer: string | null;
  readonly route: string;
  readonly associatedIndexId: number;
  /** Value of the header. */
  readonly authorization: string;
}

const routes = ['/.executors/scip/upload', '/.executors/lsif/upload'];
/** The flags of upstream's step; the last is of no use to a client that sends an index whole. */
const valueFlags = ['repo', 'commit', 'root', 'upload-route', 'file', 'associated-index-id', 'indexer'];
const ignoredFlags = ['max-payload-size'];
const scheme = 'token-executor ';

export interface Taken {
  /** Without the step and its credential. */
  readonly job: Job;
  readonly upload: Upload | null;
  /** The job keeps a credential, because the admin allows it. */
  readonly exposed: boolean;
}

/**
 * Takes the step that uploads an index, in upstream's form, out of a job: the executor does it, on its side of the guest, with
 * the credential that the step brought. Nothing of that, nor of any of `secrets`, is in the job that is left. Errors:
 * `upload_step_refused` for a step of another form, or a job that holds a credential elsewhere (design §5); none with `expose`.
 */
export function takeUploadStep(job: Job, secrets: readonly string[], expose: boolean): Taken {
  try {
    return { ...take(job, secrets), exposed: false };
  } catch (error) {
    if (!expose || factsOf(error).code !== 'upload_step_refused') throw error;
    return { job, upload: null, exposed: true };
  }
}

function take(job: Job, secrets: readonly string[]): Omit<Taken, 'exposed'> {
  const steps = job.dockerSteps ?? [];
  const at = steps.findIndex(mayUpload);
  const step = steps[at];
  if (!step) return { job: without(job, secrets), upload: null };
  if (at !== steps.length - 1) throw uploadStepRefused('a step follows the one that uploads');
  const credential = credentialOf(step);
  const rest = without({ ...job, dockerSteps: steps.slice(0, -1) }, [...secrets, credential]);
  // What of the step goes to the guest, and what is said of it if it is refused.
  refuseCredentials({ ...step, env: null }, [...secrets, credential, job.token]);
  return { job: rest, upload: { ...readCommand(job, step), authorization: `${scheme}${credential}` } };
}

/** The job without its redactions of `secrets`. Errors: `upload_step_refused` when one is anywhere else but its own token. */
function without(job: Job, secrets: readonly string[]): Job {
  const known = [...secrets, scheme];
  const redactedValues = Object.entries(job.redactedValues ?? {}).filter(
    (words) => !known.some((secret) => words.join('\0').includes(secret)),
  );
  const rest = { ...job, redactedValues: Object.fromEntries(redactedValues) };
  refuseCredentials({ ...rest, token: '' }, [...known, job.token]);
  return rest;
}

/** Whatever its name, it is meant for `src`. */
function mayUpload({ key, image, env }: DockerStep): boolean {
  return key === 'upload' || isSrc(image) || (env ?? []).some((line) => line.startsWith('SRC_'));
}

function isSrc(image: string): boolean {
  return /(^|\/)src-cli(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$/.test(image);
}

function credentialOf({ image, env }: DockerStep): string {
  if (!isSrc(image)) throw uploadStepRefused(`the image ${image.slice(0, 200)} is not that of \`src\``);
  const lines = (env ?? []).map((line) => line.split(/=(.*)/s));
  const names = new Set(lines.map(([name]) => name));
  if (lines.length !== 2 || !names.has('SRC_ENDPOINT') || !names.has('SRC_HEADER_AUTHORIZATION'))
    throw uploadStepRefused(
      'the environment of its step `upload` is not SRC_ENDPOINT and SRC_HEADER_AUTHORIZATION',
    );
  const header = lines.find(([name]) => name === 'SRC_HEADER_AUTHORIZATION')?.[1] ?? '';
  // A shorter one would be found everywhere.
  const credential = /^token-executor ([!-~]{8,})$/.exec(header)?.[1];
  if (credential === undefined)
    throw uploadStepRefused('its authorization is not `token-executor` and a token');
  return credential;
}

function readCommand(job: Job, { commands, dir, argv }: DockerStep): Omit<Upload, 'authorization'> {
  const words = commands?.length === 1 && argv === undefined ? shellWords(commands[0] ?? '') : null;
  if (!words) throw uploadStepRefused('what its step `upload` runs is not one plain command line');
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
  const file = pathOf(flags.get('file'));
  if (file === '') throw uploadStepRefused('the file that it uploads is not named');
  const directory = pathOf(dir ?? '');
  return {
    file: directory === '' ? file : `${directory}/${file}`,
    root: pathOf(flags.get('root')),
    indexer: flags.get('indexer') ?? null,
    route,
    associatedIndexId: Number(id),
  };
}

/** As Go's flags: one dash or two, the value after `=` or in the next word. Each at most once. */
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

/** A path below the directory that it is meant from; `.` and dots between count as nothing. */
function pathOf(text: string | undefined): string {
  const path = (text ?? '').replace(/^(\.\/+)+/, '').replace(/\/+$/, '');
  if (text?.startsWith('/') || !relativePathSchema.safeParse(path === '.' ? '' : path).success)
    throw uploadStepRefused('a path of its step `upload` leads out of the repository');
  return path === '.' ? '' : path;
}

function refuseCredentials(value: object, secrets: readonly string[]): void {
  const place = placeOf(
    value,
    secrets.map((secret) => Buffer.from(secret)),
    'job',
  );
  if (place !== null) throw uploadStepRefused(`one is in ${place}`);
}

/** The first place in which one of `needles` is, its own name included; null for none. */
function placeOf(value: unknown, needles: readonly Buffer[], place: string): string | null {
  if (typeof value === 'string' || value instanceof Uint8Array) {
    const bytes = Buffer.from(value as string);
    return needles.some((needle) => bytes.includes(needle)) ? place : null;
  }
  if (typeof value !== 'object' || value === null) return null;
  for (const [name, inner] of Object.entries(value)) {
    // A name may be the secret itself: then it is not said.
    const found = placeOf(name, needles, `a name of ${place}`) ?? placeOf(inner, needles, `${place}.${name}`);
    if (found !== null) return found.slice(0, 200);
  }
  return null;
}
