extension URL {
    /// A path as the system's calls take it. `URL(fileURLWithPath:)` reads a `~` in front, and removes a `..` together with
    /// the name before it, which may be a link to elsewhere: what is checked by its path and written by its URL would be
    /// two places.
    ///
    /// - Parameter isFolder: whether the path leads to a folder.
    package init(literalPath path: String, isFolder: Bool = false) {
        let names = path.split(separator: "/").filter { $0 != "." }
        var start: [Substring] = []
        var rest = names[...]
        if !path.hasPrefix("/") {
            // The system gives this folder without links, so that names above it may be left out.
            start = FileManager.default.currentDirectoryPath.split(separator: "/")
            rest = names.drop { $0 == ".." }
            start = start.dropLast(names.count - rest.count)
        }
        self.init(fileURLWithPath: "/" + (start + rest).joined(separator: "/"), isDirectory: isFolder)
    }
}
