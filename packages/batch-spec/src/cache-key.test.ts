import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { cacheKey } from './cache-key.ts';
import { parseBatchSpec } from './parse.ts';

/** Keys that upstream's client was recorded to cache results under, with what it derived each from. */
const recordedSchema = z.array(
  z.object({
    trial: z.string(),
    key: z.string(),
    preimage: z.object({
      Repository: z.object({
        ID: z.string(),
        Name: z.string(),
        BaseRef: z.string(),
        BaseRev: z.string(),
        FileMatches: z.array(z.string()).nullable(),
      }),
      Path: z.string(),
      OnlyFetchWorkspace: z.boolean(),
      Steps: z.array(z.unknown()),
      BatchChangeAttributes: z.object({ Name: z.string(), Description: z.string() }),
      StepIndex: z.int(),
      Environments: z.array(z.record(z.string(), z.string())),
      MountsMetadata: z
        .array(z.object({ Path: z.string(), Size: z.int(), Modified: z.string() }))
        .default([]),
    }),
  }),
);
const recorded = recordedSchema.parse(
  JSON.parse(readFileSync(join(import.meta.dirname, 'testing/cache-keys.json'), 'utf8')),
);

test.each(recorded)('the key of $trial is the recorded one', ({ key, preimage }) => {
  const { Repository, Steps, BatchChangeAttributes, Environments, MountsMetadata, StepIndex } = preimage;
  const changesetTemplate = { title: 't', branch: 'b', commit: { message: 'm' } };
  const spec = parseBatchSpec(JSON.stringify({ name: 'x', steps: Steps, changesetTemplate }));
  const inputs = {
    repository: {
      ...{
        id: Repository.ID,
        name: Repository.Name,
        baseRef: Repository.BaseRef,
        baseRev: Repository.BaseRev,
      },
      fileMatches: Repository.FileMatches,
    },
    path: preimage.Path,
    onlyFetchWorkspace: preimage.OnlyFetchWorkspace,
    batchChange: { name: BatchChangeAttributes.Name, description: BatchChangeAttributes.Description },
    steps: spec.steps ?? [],
    outer: Object.assign({}, ...Environments) as Record<string, string>,
    mounts: MountsMetadata.map(({ Path, Size, Modified }) => ({
      path: Path,
      size: Size,
      modified: Modified,
    })),
  };
  expect(cacheKey(inputs, StepIndex)).toBe(key);
});
