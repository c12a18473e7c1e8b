import LigerText
import TestSupport
import Testing

/// Renderings equal transformers' own, to the byte, and what is an error there is one here.
@Suite(.enabled(if: Python.transformers.shouldRun, Comment(rawValue: Python.transformers.skipReason)))
struct ChatTemplateParityTests {
    @Test(arguments: ChatExpressions.cases) func expression(_ item: ChatCase) throws { try compare(item) }

    @Test(arguments: ChatStatements.cases) func statement(_ item: ChatCase) throws { try compare(item) }

    @Test(arguments: ChatFamilies.cases) func family(_ item: ChatCase) throws {
        try compare(item)
        // A family's case that both refuse would show nothing, unless it is there to be refused.
        #expect(try ChatOracle.result(item)?.error == nil || item.name.hasSuffix("refused"))
    }

    private func compare(_ item: ChatCase) throws {
        let expected = try #require(try ChatOracle.result(item))
        do {
            let rendering = try item.render()
            #expect(
                expected.text.map { Array($0.utf8) } == Array(rendering.text.utf8),
                "\(rendering.text.debugDescription), not \(expected.text?.debugDescription ?? expected.error ?? "")"
            )
            if expected.generated?.isEmpty == false {
                #expect(rendering.generated.map { [$0.lowerBound, $0.upperBound] } == expected.generated)
            }
        } catch let error as ChatTemplateError {
            #expect(expected.error != nil, "\(error), not \(expected.text?.debugDescription ?? "")")
        }
    }
}
