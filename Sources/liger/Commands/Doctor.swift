internal import ArgumentParser
internal import LigerCatalogue
internal import LigerTrainer

/// Says what this machine offers and what is missing.
struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the devices and libraries found, and what to install.",
        discussion: "Exits with 1 if something that training needs is missing.")

    @OptionGroup var output: OutputArguments

    func run() throws {
        let findings = Diagnosis.findings()
        if output.json {
            for finding in findings { print(try OutputArguments.line(Row(finding))) }
        } else {
            var table = Table([.text("what"), .text("state"), .text("found")])
            for finding in findings {
                table.add([finding.subject, state(finding), finding.detail])
            }
            print(table.plain, terminator: "")
        }
        if findings.contains(where: { !$0.isUsable && $0.isRequired }) { throw ExitCode(1) }
    }

    private func state(_ finding: Diagnosis.Finding) -> String {
        if finding.isUsable { return "ok" }
        return finding.isRequired ? "MISSING" : "none"
    }

    private struct Row: Encodable {
        let subject: String
        let usable: Bool
        let required: Bool
        let detail: String

        init(_ finding: Diagnosis.Finding) {
            subject = finding.subject
            usable = finding.isUsable
            required = finding.isRequired
            detail = finding.detail
        }
    }
}
