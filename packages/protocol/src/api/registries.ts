import * as z from 'zod';
import { queueNameSchema } from '../kinds.ts';
import { registryHostSchema } from '../registry.ts';

/** The queues whose jobs get a credential; null: those of all queues. */
const queues = z
  .array(queueNameSchema)
  .min(1)
  .transform((names) => [...new Set(names)].sort())
  .nullable();
const printable = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^\P{Cc}*$/u, 'must not hold control characters');

/** Users of registries; a colon would end the name, as Docker's `config.json` has it. */
const usernameSchema = printable(255).regex(/^[^:]*$/, 'must not hold a colon');

/** `GET /api/registries`: the credentials for registries, without their passwords, which no answer ever has. */
export const registryCredentialSchema = z.object({
  host: registryHostSchema,
  username: usernameSchema,
  queues: z.array(queueNameSchema).nullable(),
  createdAt: z.string(),
});
export const registryCredentialsSchema = z.object({ registries: z.array(registryCredentialSchema) });
export type RegistryCredential = z.infer<typeof registryCredentialSchema>;

/** `PUT /api/registries/{host}`: 200 with the credential, which replaces an earlier one. `DELETE /api/registries/{host}`: 204. */
export const setRegistryCredentialSchema = z.object({
  username: usernameSchema,
  password: printable(16_384),
  queues: queues.default(null),
});
export type SetRegistryCredential = z.input<typeof setRegistryCredentialSchema>;
