import CLigerABI
import Foundation
import LigerABI
import Testing

/// What `liger_signatures` prints, as another language reads it.
@Suite struct SignatureTests {
    private struct Signature: Decodable {
        let name: String
        let inputs: [Input]
        let options: [Option]
        let outputs: [Output]
    }

    private struct Input: Decodable {
        let name: String
        let optional, written: Bool?
    }

    private struct Option: Decodable {
        let name, type: String
        let words: [String]?
        let required: Bool?
    }

    private struct Output: Decodable {
        let name: String
    }

    private static let text = liger_signatures().map { String(cString: $0) } ?? ""
    private static let signatures =
        (try? JSONDecoder().decode([Signature].self, from: Data(text.utf8))) ?? []

    @Test func oneIsAsDocumented() throws {
        let expected = """
            {"name": "rms_norm_backward", "inputs": [{"name": "dy"}, {"name": "x"}, \
            {"name": "weight", "optional": true}, {"name": "rstd"}], \
            "options": [{"name": "offset", "type": "number", "default": 0.0}, \
            {"name": "casting", "type": "word", "words": ["llama", "gemma", "none"], "default": "llama"}, \
            {"name": "needs_weight", "type": "flag", "default": true}], \
            "outputs": [{"name": "dx", "shape": [{"input": "x", "from": 0, "to": null}], "dtype": ["x"]}, \
            {"name": "dweight", "shape": [{"input": "weight", "from": 0, "to": null}], "dtype": ["weight"], \
            "when": [{"given": "weight"}, {"on": "needs_weight"}]}]}
            """
        #expect(Self.text.contains(expected))
    }

    /// As functions of other languages need it: names that differ, and no default before what is required.
    @Test func allCanBeFunctions() {
        #expect(Self.signatures.count > 30)
        #expect(Set(Self.signatures.map(\.name)).count == Self.signatures.count)
        for signature in Self.signatures {
            let names = signature.inputs.map(\.name) + signature.options.map(\.name)
            #expect(Set(names).count == names.count, "\(signature.name)")
            #expect(Set(signature.outputs.map(\.name)).count == signature.outputs.count, "\(signature.name)")
            let required = signature.options.map { $0.required ?? false }
            #expect(
                required == required.filter { $0 } + required.filter { !$0 },
                "\(signature.name): required options go first")
            for option in signature.options where option.type == "word" {
                #expect(option.words?.isEmpty == false, "\(signature.name)")
            }
            let isWritten = signature.inputs.contains { $0.written ?? false }
            #expect(isWritten || !signature.outputs.isEmpty, "\(signature.name) gives nothing")
        }
    }
}
