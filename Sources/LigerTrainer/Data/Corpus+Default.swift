extension Corpus {
    /// What people wrote in this package: the text to train on when none is given.
    package static let ownText = [
        "CONTRIBUTING.md", "Documentation", "Package.swift", "README.md", "Sources", "Tests", "python",
    ]

    /// The sources and documents of this package, so that training runs with nothing downloaded.
    /// - Parameter places: folders from which to look upwards; by default those of the executable and the
    ///   process.
    /// - Throws: `TrainerError` (`dataNotFound`) when no place is inside the package.
    public static func ownSources(lookingFrom places: [String]? = nil) throws -> Corpus {
        let places = places ?? defaultPlaces
        for place in places {
            if let folder = packageFolder(above: place) { return try Corpus(path: folder, only: ownText) }
        }
        throw TrainerError(
            .dataNotFound,
            "Without --data the text is this package's own sources, but no swift-liger folder is at or above "
                + places.joined(separator: " or ") + ".",
            remedy: "Pass --data with a text file or a folder of them, or run inside the package.")
    }

    private static var defaultPlaces: [String] {
        let executable = CommandLine.arguments.first ?? ""
        // A bare name was found through PATH, which says nothing about its place.
        guard executable.contains("/") else { return [FileSystem.currentFolder] }
        let folder = FileSystem.parent(of: executable)
        if folder == "." { return [FileSystem.currentFolder] }
        let absolute = folder.hasPrefix("/") ? folder : FileSystem.join(FileSystem.currentFolder, folder)
        return [FileSystem.currentFolder, absolute]
    }

    /// The nearest folder at or above `place` whose manifest names this package.
    private static func packageFolder(above place: String) -> String? {
        var folder = place
        while true {
            let manifest = FileSystem.join(folder, "Package.swift")
            if let bytes = try? FileSystem.read(manifest),
                String(decoding: bytes, as: UTF8.self).contains("name: \"swift-liger\"")
            {
                return folder
            }
            let parent = FileSystem.parent(of: folder)
            if parent == folder || folder == "." { return nil }
            folder = parent
        }
    }
}
