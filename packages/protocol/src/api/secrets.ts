import * as z from 'zod';
import { isStorable } from '../text.ts';
import { secretNameSchema } from '../values.ts';
import { accessNameSchema } from './access.ts';

/** Longest value of a secret, bytes. */
export const secretBytesMax = 65_536;
/** Shortest value of a secret, bytes: in a log each occurrence of a value is replaced, and a shorter one occurs by chance. */
export const secretBytesMin = 4;

/**
 * Whose secrets a request is about: those of the user who asks, or of an organisation that this user is a member of, or with `global` those
 * that all batch changes may have, which only admins set and remove.
 */
export const secretOwnerQuerySchema = z
  .object({ organisation: accessNameSchema.optional(), global: z.enum(['true', 'false']).default('false') })
  .refine(
    ({ organisation, global }) => organisation === undefined || global === 'false',
    'must not have both organisation and global',
  );
export type SecretOwner = {
  readonly organisation?: string | undefined;
  readonly global?: boolean | undefined;
};

/** `GET /api/secrets`: secrets without their values, which no answer ever has. */
export const secretRecordSchema = z.object({ name: secretNameSchema, createdAt: z.string() });
export const secretsSchema = z.object({ secrets: z.array(secretRecordSchema) });
export type SecretRecord = z.infer<typeof secretRecordSchema>;

/** `PUT /api/secrets/{name}`, with the same query: 200 with the secret, which replaces an earlier one. `DELETE /api/secrets/{name}`: 204. */
export const setSecretSchema = z.object({
  value: z
    .string()
    .refine(isStorable, 'must be text without NUL')
    .refine((value) => {
      const bytes = Buffer.byteLength(value);
      return bytes >= secretBytesMin && bytes <= secretBytesMax;
    }, `must have ${secretBytesMin} to ${secretBytesMax} bytes`),
});
export type SetSecret = z.input<typeof setSecretSchema>;
