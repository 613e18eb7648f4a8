import { Enums, Models, Serialize, Spec } from '@cyclonedx/cyclonedx-library';
import type { Bundled } from './bundled.ts';

/**
 * Returns the software bill of materials in CycloneDX 1.6: the npm packages whose code is bundled, and those that are installed beside
 * it. The library knows the format in all its versions.
 */
export function sbomOf(
  version: string,
  bundled: readonly Pick<Bundled, 'name' | 'version' | 'license'>[],
  installed: Readonly<Record<string, string>>,
): string {
  const bom = new Models.Bom();
  const main = new Models.Component(Enums.ComponentType.Application, 'fumehood', {
    version,
    bomRef: `pkg:npm/fumehood@${version}`,
    licenses: new Models.LicenseRepository([new Models.SpdxLicense('Apache-2.0')]),
  });
  bom.metadata.component = main;
  const add = (name: string, component: { version: string; license?: string }) => {
    const purl = `pkg:npm/${name.replace('@', '%40')}@${component.version}`;
    const added = new Models.Component(Enums.ComponentType.Library, name, {
      version: component.version,
      bomRef: purl,
      purl,
    });
    if (component.license) added.licenses.add(new Models.LicenseExpression(component.license));
    bom.components.add(added);
    main.dependencies.add(added.bomRef);
  };
  for (const { name, ...component } of bundled) add(name, component);
  for (const [name, installedVersion] of Object.entries(installed)) add(name, { version: installedVersion });
  const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6));
  return `${serializer.serialize(bom, { sortLists: true, space: 2 })}\n`;
}
