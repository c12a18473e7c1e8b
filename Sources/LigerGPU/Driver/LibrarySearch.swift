package import LigerArrays
import Platform

/// Where one of a GPU maker's libraries may lie.
package struct LibrarySearch: Sendable {
    let environment: [String: String]
    /// The environment variable that names its file or folder.
    private let variable: String
    private let fileNames: [String]
    /// Where pip puts it within a folder of packages.
    private let packages: [String]
    /// Whether these come before what the system's loader finds.
    private let prefersPackages: Bool

    /// Where a system puts the maker's libraries besides those that the loader finds.
    private let systemFolders: [String]

    package init(
        environment: [String: String], variable: String, fileNames: [String], packages: [String],
        systemFolders: [String], prefersPackages: Bool = false
    ) {
        (self.environment, self.variable) = (environment, variable)
        (self.fileNames, self.packages) = (fileNames, packages)
        (self.systemFolders, self.prefersPackages) = (systemFolders, prefersPackages)
    }

    /// Files to try, in order: what the variable names and nothing else; without it what the system's loader
    /// finds (LD_LIBRARY_PATH, or already loaded by PyTorch), the maker's own folder, and the packages of the Python
    /// environments at hand; or these first.
    package var candidates: [String] {
        if let requested = value(variable) {
            return isFolder(requested) ? fileNames.map { requested + "/" + $0 } : [requested]
        }
        func files(_ folders: [String]) -> [String] {
            folders.flatMap { folder in fileNames.map { folder + "/" + $0 } }
                .filter { FileManager.default.fileExists(atPath: $0) }
        }
        let (system, packaged) = (fileNames + files(systemFolders), files(pythonFolders))
        return prefersPackages ? packaged + system : system + packaged
    }

    /// Folders in which pip puts the libraries, per Python.
    var pythonFolders: [String] {
        prefixes.flatMap { prefix in
            packageFolders(prefix).flatMap { folder in packages.map { folder + "/" + $0 } }
        }
    }

    /// Where the Pythons at hand are installed: a virtual environment's own folder comes before that of the
    /// Python it was made with.
    private var prefixes: [String] {
        var found: [String] = []
        func add(_ prefix: String) { if !prefix.isEmpty && !found.contains(prefix) { found.append(prefix) } }
        func addInterpreter(_ path: String) {
            add(parent(parent(path)))
            // FileManager resolves one link at a time; Pythons are linked to each other a few times at most.
            var target = path
            for _ in 0..<8 {
                guard let next = try? FileManager.default.destinationOfSymbolicLink(atPath: target) else {
                    break
                }
                target = next.hasPrefix("/") ? next : parent(target) + "/" + next
            }
            add(parent(parent(target)))
        }
        if let python = value("LIGER_PYTHON") { addInterpreter(python) }
        for name in ["VIRTUAL_ENV", "CONDA_PREFIX"] { if let folder = value(name) { add(folder) } }
        add(FileManager.default.currentDirectoryPath + "/.venv")
        for folder in (environment["PATH"] ?? "").split(separator: ":") {
            let python = folder + "/python3"
            if FileManager.default.fileExists(atPath: String(python)) {
                addInterpreter(String(python))
                break
            }
        }
        // That is where pip installs for the system's Python.
        if found.contains("/usr") { add("/usr/local") }
        return found
    }

    private func packageFolders(_ prefix: String) -> [String] {
        ["lib", "lib64"].flatMap { library in
            let folder = prefix + "/" + library
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            return names.filter { $0.hasPrefix("python3") }.sorted().flatMap { name in
                ["site-packages", "dist-packages"].map { folder + "/" + name + "/" + $0 }
                    .filter { isFolder($0) }
            }
        }
    }

    private func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }

    private func isFolder(_ path: String) -> Bool {
        var isFolder = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder
    }

    private func parent(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "" }
        return String(path[..<slash])
    }
}

extension LibrarySearch {
    /// The first file that loads: one that the process has already, such as PyTorch's, before any other.
    ///
    /// - Parameter missing: makes the error of why each file was refused.
    package func load<Library>(
        _ make: (String, @escaping (String) -> UnsafeMutableRawPointer?) throws -> Library,
        missing: ([String]) -> RuntimeError
    ) throws -> Library {
        try Self.load(candidates, make, missing: missing)
    }

    package static func load<Library>(
        _ files: [String],
        _ make: (String, @escaping (String) -> UnsafeMutableRawPointer?) throws -> Library,
        missing: ([String]) -> RuntimeError
    ) throws -> Library {
        var refusals: [String] = []
        for flags in [RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD, RTLD_NOW | RTLD_LOCAL] {
            refusals = []
            for path in files {
                if let handle = dlopen(path, flags) {
                    // dlsym only reads the handle.
                    nonisolated(unsafe) let library = handle
                    return try make(path) { dlsym(library, $0) }
                }
                refusals.append(dlerror().map { String(cString: $0) } ?? "\(path): no reason given")
            }
        }
        throw missing(refusals)
    }
}
