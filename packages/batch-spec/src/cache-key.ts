import { createHash } from 'node:crypto';
import type { Step } from './spec.ts';

/** What the result of a step depends on. */
export interface StepInputs {
  readonly repository: {
    readonly id: string;
    readonly name: string;
    /** `refs/heads/…` in keys of the `src` command line. */
    readonly baseRef: string;
    readonly baseRev: string;
    /** The paths that a search found; null is another key than none. */
    readonly fileMatches: readonly string[] | null;
  };
  /** The directory of the workspace; empty for the root. */
  readonly path: string;
  readonly onlyFetchWorkspace: boolean;
  readonly batchChange: { readonly name: string; readonly description: string };
  /** All steps of the spec. */
  readonly steps: readonly Step[];
  /** Values of names that steps take from outside. */
  readonly outer: Readonly<Record<string, string>>;
  /** What all steps mount: `modified` as RFC 3339 text. */
  readonly mounts: readonly { readonly path: string; readonly size: number; readonly modified: string }[];
}

/** Variables of an executor, which differ from job to job and are no part of a key. */
const ofExecutors = new Set(['SRC_EXECUTOR_JOB_TOKEN', 'SRC_EXECUTOR_JOB_ID', 'SRC_EXECUTOR_NAME']);

/** Returns the key under which the result of a step (from 0) is cached, as the `src` command line derives it. */
export function cacheKey(inputs: StepInputs, stepIndex: number): string {
  const { repository, steps, mounts } = inputs;
  const until = steps.slice(0, stepIndex + 1);
  const matches = repository.fileMatches;
  const preimage = goJson({
    Repository: {
      ID: repository.id,
      Name: repository.name,
      BaseRef: repository.baseRef,
      BaseRev: repository.baseRev,
      FileMatches: matches && matches.toSorted(),
    },
    Path: inputs.path,
    OnlyFetchWorkspace: inputs.onlyFetchWorkspace,
    Steps: until.map(stepJson),
    BatchChangeAttributes: { Name: inputs.batchChange.name, Description: inputs.batchChange.description },
    StepIndex: stepIndex,
    Environments: until.map((step) => environmentOf(step, inputs.outer)),
    ...(mounts.length > 0 && {
      MountsMetadata: mounts.map(({ path, size, modified }) => ({
        Path: path,
        Size: size,
        Modified: modified,
      })),
    }),
  });
  const hash = createHash('sha256').update(preimage).digest().subarray(0, 16);
  return `${hash.toString('base64url')}-step-${stepIndex}`;
}

/** Returns the variables of a step with their values, by name, without those of executors. */
function environmentOf({ env }: Step, outer: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Array.isArray(env)
    ? env.flatMap((one) =>
        typeof one === 'string' ? [[one, outer[one] ?? ''] as const] : Object.entries(one),
      )
    : Object.entries(env ?? {});
  return sorted(Object.fromEntries(entries.filter(([name]) => !ofExecutors.has(name))));
}

/** Returns a step in the form, and the order of fields, of upstream's. */
function stepJson({ run, container, env, files, outputs, mount, if: condition }: Step): object {
  const isDynamic = Array.isArray(env) && env.some((one) => typeof one === 'string');
  const fixed = Array.isArray(env)
    ? Object.assign({}, ...env.filter((one) => typeof one !== 'string'))
    : (env ?? {});
  return {
    ...(run !== '' && { run }),
    container,
    env: isDynamic ? env : sorted(fixed as Record<string, string>),
    ...(files && Object.keys(files).length > 0 && { files: sorted(files) }),
    ...(outputs &&
      Object.keys(outputs).length > 0 && {
        outputs: sorted(
          Object.fromEntries(
            Object.entries(outputs).map(([name, { value, format }]) => [
              name,
              { ...(value !== '' && { value }), ...(format !== undefined && { format }) },
            ]),
          ),
        ),
      }),
    ...(mount && mount.length > 0 && { mount: mount.map(({ path, mountpoint }) => ({ mountpoint, path })) }),
    ...(condition !== undefined && { if: condition }),
  };
}

const sorted = <T>(map: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(map).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))));

/** Returns JSON as Go writes it, which escapes what could end a script or a line. */
const goJson = (value: unknown): string =>
  JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
