internal import ArgumentParser

/// Where a run comes from, if not from the command line alone.
struct RunFileArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Take options from this YAML file, whose keys are their names. Those on the command line win; paths are seen from \
            the folder that the command runs in.
            """, valueName: "file"), completion: .file(extensions: ["yaml", "yml"]))
    var config: String?

    @Flag(
        help: "Print a file for --config that comes to this same run, with every option, and train nothing.")
    var printConfig = false
}
