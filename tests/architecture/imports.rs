//! Which file of the workspace imports which: `use` items and paths in code, followed through re-exports to the file that
//! defines the name. Modules under `#[cfg(test)]` do not count, nor do re-exports themselves: they are the map of a module,
//! not what it is made with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Item, ItemMod, UseTree, Visibility};

/// Path of a module, beginning with its crate's name.
type ModulePath = Vec<String>;

/// Edges between the files of all crates of a workspace.
pub struct Imports {
    edges: BTreeSet<(PathBuf, PathBuf)>,
}

#[derive(Default)]
struct Module {
    file: PathBuf,
    children: BTreeSet<String>,
    definitions: BTreeSet<String>,
    uses: Vec<Use>,
    /// Paths within its code.
    paths: Vec<Vec<String>>,
}

struct Use {
    path: Vec<String>,
    /// What it is called here; `*` for all of a module.
    name: String,
    is_public: bool,
}

impl Imports {
    /// Reads `src/`, `crates/*/src/` and `examples/src/` below a folder.
    pub fn of_workspace(top: &Path) -> Self {
        let mut modules = BTreeMap::new();
        read_crate("cdc_bench", &top.join("src"), &mut modules);
        for entry in std::fs::read_dir(top.join("crates")).unwrap() {
            let folder = entry.unwrap().path();
            let name = folder.file_name().unwrap().to_str().unwrap();
            read_crate(&name.replace('-', "_"), &folder.join("src"), &mut modules);
        }
        read_crate("pgcdc_examples", &top.join("examples/src"), &mut modules);
        let resolver = Resolver { modules: &modules };
        let mut edges = BTreeSet::new();
        for (path, module) in &modules {
            let imported = module.uses.iter().filter(|item| !item.is_public);
            let imported = imported.map(|item| &item.path).chain(&module.paths);
            let files = imported.filter_map(|used| resolver.file(path, used, 0));
            let others = files.filter(|file| *file != module.file);
            edges.extend(others.map(|file| (module.file.clone(), file)));
        }
        Self { edges }
    }

    /// From the importing file to the imported one.
    pub fn edges(&self) -> impl Iterator<Item = (&PathBuf, &PathBuf)> {
        self.edges.iter().map(|(from, to)| (from, to))
    }
}

fn read_crate(name: &str, src: &Path, modules: &mut BTreeMap<ModulePath, Module>) {
    let file = src.join("lib.rs");
    read_file(&file, vec![name.to_owned()], src, modules);
}

/// Reads a module's file; its children lie in `folder`.
fn read_file(
    file: &Path,
    path: ModulePath,
    folder: &Path,
    modules: &mut BTreeMap<ModulePath, Module>,
) {
    let text = std::fs::read_to_string(file).unwrap();
    let parsed = syn::parse_file(&text);
    let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    read_items(&parsed.items, file, path, folder, modules);
}

fn read_items(
    items: &[Item],
    file: &Path,
    path: ModulePath,
    folder: &Path,
    modules: &mut BTreeMap<ModulePath, Module>,
) {
    let mut module = Module {
        file: file.to_owned(),
        ..Module::default()
    };
    for item in items {
        match item {
            Item::Use(item) => {
                let is_public = !matches!(item.vis, Visibility::Inherited);
                flatten(&item.tree, &mut Vec::new(), is_public, &mut module.uses);
            }
            Item::Mod(child) if is_for_tests(child) => {}
            Item::Mod(child) => {
                let name = child.ident.to_string();
                let below = folder.join(&name);
                let child_path = [&path[..], std::slice::from_ref(&name)].concat();
                match &child.content {
                    Some((_, items)) => read_items(items, file, child_path, &below, modules),
                    None => {
                        let beside = folder.join(format!("{name}.rs"));
                        let within = below.join("mod.rs");
                        let file = if beside.exists() { beside } else { within };
                        read_file(&file, child_path, &below, modules);
                    }
                }
                module.children.insert(name);
            }
            item => {
                module.definitions.extend(name_of(item));
                Paths(&mut module.paths).visit_item(item);
            }
        }
    }
    modules.insert(path, module);
}

fn is_for_tests(module: &ItemMod) -> bool {
    module.attrs.iter().any(|attribute| {
        let meta = &attribute.meta;
        attribute.path().is_ident("cfg")
            && matches!(meta, syn::Meta::List(list) if list.tokens.to_string().contains("test"))
    })
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(name.to_string())
}

fn flatten(tree: &UseTree, before: &mut Vec<String>, is_public: bool, uses: &mut Vec<Use>) {
    let mut end = |name: String, path: Vec<String>| {
        uses.push(Use {
            path,
            name,
            is_public,
        });
    };
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, is_public, uses);
            before.pop();
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, before, is_public, uses);
            }
        }
        UseTree::Name(name) if name.ident == "self" => {
            end(before.last().cloned().unwrap_or_default(), before.clone());
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            end(name.clone(), [&before[..], &[name]].concat());
        }
        UseTree::Rename(rename) => {
            let path = [&before[..], &[rename.ident.to_string()]].concat();
            end(rename.rename.to_string(), path);
        }
        UseTree::Glob(_) => end("*".to_owned(), before.clone()),
    }
}

/// Gathers paths of two or more parts.
struct Paths<'a>(&'a mut Vec<Vec<String>>);

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter();
        let segments: Vec<_> = segments.map(|part| part.ident.to_string()).collect();
        if segments.len() > 1 {
            self.0.push(segments);
        }
        visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut uses = Vec::new();
        flatten(&item.tree, &mut Vec::new(), false, &mut uses);
        self.0.extend(uses.into_iter().map(|item| item.path));
    }
}

struct Resolver<'a> {
    modules: &'a BTreeMap<ModulePath, Module>,
}

/// Longer chains of re-exports are circles of their own.
const MOST_REEXPORTS: u32 = 12;

impl Resolver<'_> {
    /// The file that defines what a path within a module names; none for what is not of this workspace.
    fn file(&self, within: &[String], path: &[String], depth: u32) -> Option<PathBuf> {
        if depth > MOST_REEXPORTS {
            return None;
        }
        let (first, rest) = path.split_first()?;
        match &**first {
            "crate" => self.below(&within[..1], rest, depth),
            "self" => self.below(within, rest, depth),
            "super" => {
                let (_, parent) = within.split_last()?;
                match rest.first() {
                    Some(next) if next == "super" => self.file(parent, rest, depth),
                    _ => self.below(parent, rest, depth),
                }
            }
            name if self.modules.contains_key(&vec![name.to_owned()]) => {
                self.below(&[name.to_owned()], rest, depth)
            }
            name => {
                let module = self.modules.get(within)?;
                if module.children.contains(name) {
                    return self.below(within, path, depth);
                }
                let used = module.uses.iter().find(|item| item.name == name)?;
                // A path that begins with what was imported under this name.
                let whole = [&used.path[..], rest].concat();
                (used.path.first() != Some(first) || used.path.len() > 1)
                    .then(|| self.file(within, &whole, depth + 1))?
            }
        }
    }

    /// The same of a path below a module.
    fn below(&self, module_path: &[String], path: &[String], depth: u32) -> Option<PathBuf> {
        let module = self.modules.get(module_path)?;
        let Some((first, rest)) = path.split_first() else {
            return Some(module.file.clone());
        };
        if module.children.contains(first) {
            let child = [module_path, std::slice::from_ref(first)].concat();
            return self.below(&child, rest, depth);
        }
        if module.definitions.contains(first) {
            return Some(module.file.clone());
        }
        if let Some(used) = module.uses.iter().find(|item| item.name == *first) {
            let whole = [&used.path[..], rest].concat();
            return self.file(module_path, &whole, depth + 1);
        }
        let all_of = module.uses.iter().filter(|item| item.name == "*");
        let found = all_of.filter_map(|item| {
            let whole = [&item.path[..], path].concat();
            self.file(module_path, &whole, depth + 1)
        });
        found.into_iter().find(|file| *file != module.file)
    }
}
