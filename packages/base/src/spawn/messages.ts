import { z } from 'zod';
import { ipcErrorSchema } from '../ipc.ts';

const text = z.string().max(8192);

/** A request as it crosses from an unprivileged process to its privileged parent. */
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
      fileBytes: z.int().positive(),
      files: z.int().positive().max(65_536),
      processes: z.int().positive().max(65_536),
    })
    .partial()
    .optional(),
});

const id = z.int().positive();

/** What the unprivileged side says. `go` follows once it holds all three streams. */
export const spawnCallSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('spawn.start'), id, request: spawnRequestSchema }),
  z.object({ type: z.literal('spawn.go'), id }),
  z.object({ type: z.literal('spawn.kill'), id }),
]);
export type SpawnCall = z.infer<typeof spawnCallSchema>;

/** What the privileged side answers; a `spawn.stream` carries a socket. */
export const spawnAnswerSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('spawn.stream'), id, name: z.enum(['stdin', 'stdout', 'stderr']) }),
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
