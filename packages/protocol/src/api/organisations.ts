import * as z from 'zod';
import { accessNameSchema } from './access.ts';

/** What the namespace of an organisation begins with. */
export const organisationPrefix = 'org/';

/** Whose a batch change is: the name of a user, or `org/` and that of an organisation. */
export const namespaceSchema = z
  .string()
  .refine(
    (text) =>
      accessNameSchema.safeParse(
        text.startsWith(organisationPrefix) ? text.slice(organisationPrefix.length) : text,
      ).success,
    'must be the name of a user, or org/ and the name of an organisation',
  );

/** `GET /api/organisations`: those that the user who asks is a member of; for an admin, all. */
export const organisationRecordSchema = z.object({
  name: accessNameSchema,
  /** The names of users. */
  members: z.array(accessNameSchema),
  createdAt: z.string(),
});
export const organisationsSchema = z.object({ organisations: z.array(organisationRecordSchema) });
export type OrganisationRecord = z.infer<typeof organisationRecordSchema>;

/**
 * `POST /api/organisations`: 201 with the organisation. `DELETE /api/organisations/{organisation}`: 204, with its secrets; 409 if it has
 * batch changes. `PUT` and `DELETE /api/organisations/{organisation}/members/{user}`: 200 with the organisation.
 */
export const createOrganisationSchema = z.object({ name: accessNameSchema });
