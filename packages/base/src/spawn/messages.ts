import * as z from 'zod';
import { ipcErrorSchema } from '../ipc.ts';

const text = z.string().max(8192);

/** A `SpawnRequest` as it crosses from an unprivileged process to its helper. */
export const spawnRequestSchema = z.object({
  label: z.string().max(100),
  program: text,
  args: z.array(z.string().max(131_072)).max(4096),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), text).optional(),
  binds: z
    .array(
      z.object({ source: text.startsWith('/'), target: text.startsWith('/'), mode: z.enum(['ro', 'rw']) }),
    )
    .max(64)
    .optional(),
  cwd: text.startsWith('/').optional(),
  limits: z
    .object({
      timeMs: z.int().positive().max(86_400_000),
      memoryBytes: z.int().nonnegative(),
      totalMemoryBytes: z.int().positive(),
      fileBytes: z.int().positive(),
      files: z.int().positive().max(65_536),
      processes: z.int().positive().max(65_536),
    })
    .partial()
    .optional(),
});

const id = z.int().positive();

/** The calls of the unprivileged process. It sends `spawn.go` once it holds all three streams of the program. */
export const spawnCallSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('spawn.start'), id, request: spawnRequestSchema }),
  z.object({ type: z.literal('spawn.go'), id }),
  z.object({ type: z.literal('spawn.kill'), id }),
]);
export type SpawnCall = z.infer<typeof spawnCallSchema>;

/** The answers of the helper. A `spawn.stream` carries a socket; stderr comes last. */
export const spawnAnswerSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('spawn.stream'),
    id,
    name: z.enum(['stdin', 'stdout', 'stderr']),
    uid: z.int().nonnegative(),
  }),
  z.object({ type: z.literal('spawn.refused'), id, error: ipcErrorSchema }),
  z.object({
    type: z.literal('spawn.exited'),
    id,
    code: z.int().nullable(),
    signal: z.string().nullable(),
    timedOut: z.boolean(),
  }),
]);
export type SpawnAnswer = z.infer<typeof spawnAnswerSchema>;
